//! Streaming through a sink: order, pauses, failures, closed pipes.

use std::io;
use std::sync::{Arc, Mutex};

use futures_util::stream;
use sen_core::model::value::{Column, Show, Value};
use sen_core::time::Timestamp;

use super::*;

const COLUMNS: &[Column] = &[
    Column { name: "key", heading: "KEY", show: Show::Whole },
    Column { name: "note", heading: "NOTE", show: Show::Asked },
    Column { name: "state", heading: "STATE", show: Show::Whole },
];

/// Remembers what was written, and fails after `room` bytes.
#[derive(Clone)]
struct Pipe {
    written: Arc<Mutex<Vec<u8>>>,
    room: usize,
    failure: io::ErrorKind,
}

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written.lock().unwrap().len() + bytes.len() > self.room {
            return Err(self.failure.into());
        }
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(batches: Batches, format: Format, pipe: &Pipe) -> (Result<(), Stop>, Poured) {
    let look =
        Look { color: false, terminal: false, times: Times::Rfc3339, width: None, now: Timestamp::from_micros(0) };
    let mut writer = output::rows(COLUMNS, None, look, &Options { format, ..Options::default() }).unwrap();
    let mut sink = Sink::new(Box::new(pipe.clone()), None);
    let mut poured = Poured::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let shown = runtime.block_on(pour(batches, &mut *writer, &mut sink, &mut poured));
    (shown, poured)
}

fn pipe(room: usize, failure: io::ErrorKind) -> Pipe {
    Pipe { written: Arc::default(), room, failure }
}

fn rows(keys: std::ops::Range<i64>) -> Result<Batch> {
    let rows = keys.map(|key| vec![Value::Int(key), Value::Null, Value::Name("free")]).collect();
    Ok(Batch { rows, note: None })
}

#[test]
fn rows_come_out_in_order_and_notes_are_kept() {
    let open = pipe(usize::MAX, io::ErrorKind::Other);
    let (shown, poured) = run(
        Box::pin(stream::iter([rows(0..2), Ok(Batch { rows: Vec::new(), note: Some("more".into()) }), rows(2..3)])),
        Format::Jsonl,
        &open,
    );
    assert!(shown.is_ok());
    assert_eq!(poured.notes, ["more"]);
    assert_eq!(poured.rows, 3);
    assert_eq!(
        *open.written.lock().unwrap(),
        (0..3)
            .map(|key| format!("{{\"key\":{key},\"note\":null,\"state\":\"free\"}}\n"))
            .collect::<String>()
            .into_bytes()
    );
}

#[test]
fn a_pause_makes_rows_visible() {
    let open = pipe(usize::MAX, io::ErrorKind::Other);
    // It comes once the row before it is out, whenever that is.
    let written = Arc::clone(&open.written);
    let later = stream::once(async move {
        while written.lock().unwrap().is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        rows(100_000..100_001)
    });
    let (shown, _) = run(Box::pin(stream::iter([rows(0..1)]).chain(later)), Format::Table, &open);
    assert!(shown.is_ok());
    // The wide key did not widen its column: the rows before it were out by then.
    assert_eq!(*open.written.lock().unwrap(), b"KEY  STATE\n  0  free\n100000  free\n");
}

#[test]
fn a_failing_producer_leaves_the_rows_before_it_and_an_open_array() {
    let open = pipe(usize::MAX, io::ErrorKind::Other);
    let failure = || Err(Error::new(ErrorKind::Disconnected, "gone"));
    let (shown, _) = run(Box::pin(stream::iter([rows(0..1), failure()])), Format::Json, &open);
    assert!(matches!(shown, Err(Stop::Failed(error)) if error.kind() == ErrorKind::Disconnected));
    assert_eq!(*open.written.lock().unwrap(), b"[\n {\"key\":0,\"note\":null,\"state\":\"free\"}\n");
    let open = pipe(usize::MAX, io::ErrorKind::Other);
    drop(run(Box::pin(stream::iter([rows(0..1), failure()])), Format::Table, &open));
    assert_eq!(*open.written.lock().unwrap(), b"KEY  STATE\n  0  free\n");
}

#[test]
fn closed_pipes_are_quiet_and_full_disks_are_not() {
    let endless = || -> Batches { Box::pin(stream::repeat_with(|| rows(0..1000))) };
    let (shown, _) = run(endless(), Format::Jsonl, &pipe(1 << 20, io::ErrorKind::BrokenPipe));
    assert!(matches!(shown, Err(Stop::Closed)));
    let (shown, _) = run(endless(), Format::Csv, &pipe(1 << 20, io::ErrorKind::StorageFull));
    assert!(matches!(shown, Err(Stop::Failed(error)) if error.kind() == ErrorKind::Io));
}
