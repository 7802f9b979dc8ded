//! The scripts that change something. Each looks, compares and writes in one step that nothing can come between.
//!
//! The record of the act is written before the change: a stream that cannot be written (its key holds something else, the
//! server is full, the user may not) stops the script with nothing changed, since Redis undoes nothing. For the same
//! reason the first write is one that changes nothing: it fails for a user that may not write the hash.

/// What every change of a task begins with. KEYS: the hash, the stream, and for some the owner's heartbeat. ARGV: the
/// moment after which nothing may be written, what was seen (status, owner, lease, last change or empty), the moment to
/// write, the task's id, and then pairs for the record.
macro_rules! guarded {
    ($act:literal) => {
        concat!(
            r"
local clock = redis.call('TIME')
if tonumber(clock[1]) * 1000000 + tonumber(clock[2]) > tonumber(ARGV[1]) then return {'late'} end
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind == 'none' then return {'missing'} end
if kind ~= 'hash' then return {'type', kind} end
local seen = redis.call('HMGET', KEYS[1], 'status', 'owner', 'lease_expires', 'updated_at', 'attempts', 'max_attempts')
local function text(value) return value or '' end
local status, owner = text(seen[1]), text(seen[2])
if status ~= ARGV[2] or owner ~= ARGV[3] or text(seen[3]) ~= ARGV[4] then return {'changed', status, owner} end
if ARGV[5] ~= '' and text(seen[4]) ~= ARGV[5] then return {'changed', status, owner} end
if KEYS[3] and redis.call('EXISTS', KEYS[3]) == 1 then return {'alive'} end
local now, task = ARGV[6], ARGV[7]
local function tell(...)
  local words = {'XADD', KEYS[2], 'MAXLEN', '~', '10000', '*', ...}
  for at = 8, #ARGV do words[#words + 1] = ARGV[at] end
  redis.call(unpack(words))
end
local function whole()
  local all = redis.pcall('HGETALL', KEYS[1])
  if all['err'] then return {} end
  return all
end
local before = whole()
redis.call('HSET', KEYS[1], 'status', status)
",
            $act
        )
    };
}

/// As the controller cancels, and the owner is cleared so that it does not renew its lease.
pub(super) const CANCEL: &str = guarded!(
    r"
tell('event', 'task_cancelled', 'task_id', task, 'owner', owner, 'old_status', status, 'new_status', 'failed', 'timestamp', now)
redis.call('HSET', KEYS[1], 'status', 'failed', 'owner', '', 'lease_expires', '', 'error', 'Cancelled by user',
  'completed_at', now, 'updated_at', now)
return {'done', 'failed', text(seen[5]), before, whole()}
"
);

/// As the watcher requeues what its clean-up of leases finds: the attempts stay as they are, for the worker that takes it up
/// counts them.
pub(super) const REQUEUE: &str = guarded!(
    r"
local count = string.format('%d', tonumber(text(seen[5])) or 0)
tell('event', 'task_requeued', 'task_id', task, 'dead_worker', owner, 'old_status', status, 'new_status', 'queued',
  'attempts', count, 'timestamp', now)
redis.call('HSET', KEYS[1], 'status', 'queued', 'owner', '', 'lease_expires', '', 'updated_at', now)
return {'done', 'queued', count, before, whole()}
"
);

/// A requeue with the attempts reset and nothing left of the failure.
pub(super) const REPLAY: &str = guarded!(
    r"
redis.call('HDEL', KEYS[1], '')
tell('event', 'task_requeued', 'task_id', task, 'dead_worker', owner, 'old_status', status, 'new_status', 'queued', 'attempts', '0',
  'timestamp', now)
redis.call('HSET', KEYS[1], 'status', 'queued', 'owner', '', 'lease_expires', '', 'attempts', '0', 'updated_at', now)
redis.call('HDEL', KEYS[1], 'error', 'completed_at', 'result')
return {'done', 'queued', '0', before, whole()}
"
);

/// A task gets its hash back while it is exactly as it was left. KEYS: the hash, the stream. ARGV: the moment after which nothing
/// may be written, how many words the fields as left, the fields to be, and the record have, and all of these.
pub(super) const PUT_BACK: &str = r"
local clock = redis.call('TIME')
if tonumber(clock[1]) * 1000000 + tonumber(clock[2]) > tonumber(ARGV[1]) then return {'late'} end
if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' then return {'changed'} end
local left, wanted, told = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('HLEN', KEYS[1]) * 2 ~= left then return {'changed'} end
for at = 5, 4 + left, 2 do
  if redis.call('HGET', KEYS[1], ARGV[at]) ~= ARGV[at + 1] then return {'changed'} end
end
local record = {'XADD', KEYS[2], 'MAXLEN', '~', '10000', '*'}
for at = 5 + left + wanted, 4 + left + wanted + told do record[#record + 1] = ARGV[at] end
redis.call('HSET', KEYS[1], ARGV[5], ARGV[6])
redis.call(unpack(record))
local kept = {}
for at = 5 + left, 4 + left + wanted, 2 do
  kept[ARGV[at]] = true
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
for at = 5, 4 + left, 2 do
  if not kept[ARGV[at]] then redis.call('HDEL', KEYS[1], ARGV[at]) end
end
return {'done'}
";

/// A new task. KEYS: the hash, the stream. ARGV: the moment after which nothing may be written, how many words the record
/// has, the record, and the fields.
pub(super) const SUBMIT: &str = r"
local clock = redis.call('TIME')
if tonumber(clock[1]) * 1000000 + tonumber(clock[2]) > tonumber(ARGV[1]) then return {'late'} end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'exists'} end
local count = tonumber(ARGV[2])
local record, fields = {'XADD', KEYS[2], 'MAXLEN', '~', '10000', '*'}, {'HSET', KEYS[1]}
for at = 3, #ARGV do
  local words = record
  if at > 2 + count then words = fields end
  words[#words + 1] = ARGV[at]
end
redis.call(unpack(record))
redis.call(unpack(fields))
return {'done'}
";

/// A bucket filled or removed. KEYS: the hash, the stream. ARGV: the moment after which nothing may be written, the tokens
/// (empty: remove), the time, the rate or empty, and then the record.
pub(super) const BUCKET: &str = r"
local clock = redis.call('TIME')
if tonumber(clock[1]) * 1000000 + tonumber(clock[2]) > tonumber(ARGV[1]) then return {'late'} end
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'none' and kind ~= 'hash' then return {'type', kind} end
local record = {'XADD', KEYS[2], 'MAXLEN', '~', '10000', '*'}
for at = 5, #ARGV do record[#record + 1] = ARGV[at] end
redis.call(unpack(record))
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('HSET', KEYS[1], 'tokens', ARGV[2], 'last_refill', ARGV[3])
  if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'refill_rate', ARGV[4]) end
  redis.call('EXPIRE', KEYS[1], '86400')
end
return {'done'}
";

/// Whether this user may run each of some commands, 1 or 0; nothing before Redis 7, which cannot say. ARGV: of each command
/// how many words it has, and the words.
pub(super) const MAY: &str = r"
local found, check = pcall(function() return redis.acl_check_cmd end)
if not found or not check then return {} end
local out, at = {}, 1
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local words = {}
  for word = 1, count do words[word] = ARGV[at + word] end
  out[#out + 1] = check(unpack(words)) and 1 or 0
  at = at + count + 1
end
return out
";
