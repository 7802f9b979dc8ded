//! Opening files, and what readers leave of them.

use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn kind(path: &Path, access: Access) -> ErrorKind {
    block_on(Sqlite::open(path, access)).err().map(|error| error.kind()).unwrap()
}

#[test]
fn a_mistyped_path_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.db");
    assert_eq!(kind(&path, Access::Read), ErrorKind::Connect);
    assert_eq!(kind(&path, Access::Write), ErrorKind::Connect);
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    assert_eq!(kind(folder.path(), Access::Read), ErrorKind::Connect);
}

#[test]
fn a_file_of_another_kind_and_a_truncated_one_are_refused_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    std::fs::write(&path, "this is not a database, but long enough to have a header of a hundred bytes: ".repeat(4))
        .unwrap();
    assert_eq!(kind(&path, Access::Read), ErrorKind::Connect);
}

#[test]
fn what_a_writer_left_that_died_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; CREATE TABLE t(a);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO t SELECT randomblob(1000) FROM n;
            BEGIN; UPDATE t SET a = randomblob(1000)",
        )
        .unwrap();
    // As a kill leaves it: a part of the transaction is in the file.
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(folder.path().join("a.db-journal"), folder.path().join("b.db-journal")).unwrap();
    let error = block_on(Sqlite::open(&copy, Access::Read)).err().unwrap();
    assert!(error.to_string().contains("in the middle of a transaction"), "{error}");
    // Whoever opens it for writing undoes it.
    assert_eq!(count(&block_on(Sqlite::open(&copy, Access::Write)).unwrap()).unwrap(), 200);
    assert_eq!(count(&block_on(Sqlite::open(&copy, Access::Read)).unwrap()).unwrap(), 200);
}

fn wal(path: &Path) {
    let writer = Connection::open(path).unwrap();
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    writer.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1)").unwrap();
}

fn count(db: &Sqlite) -> Result<i64> {
    block_on(db.run(|db| db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).map_err(error_from)))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn reading_a_database_in_wal_mode_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x?#%41.db");
    wal(&path);
    let db = block_on(Sqlite::open(&path, Access::Read)).unwrap();
    assert_eq!(count(&db).unwrap(), 1);
    let refused = block_on(db.run(|db| db.execute_batch("INSERT INTO t VALUES (1)").map_err(error_from)));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Refused);
    drop(db);
    assert_eq!(names(folder.path()), ["x?#%41.db"]);
}

#[test]
fn a_file_at_rest_is_read_as_it_stands_until_a_writer_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x?#%41.db");
    wal(&path);
    let how = How::Frozen(beside::Print::of(&path));
    let connection = open(&path, Access::Read, &how).unwrap();
    assert_eq!(names(folder.path()), ["x?#%41.db"]);
    let mut open = Open { connection, path: path.clone(), how, tables: Arc::default() };
    let count = |open: &mut Open| {
        open.read(|db| db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).map_err(error_from))
    };
    assert_eq!(count(&mut open).unwrap(), 1);
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("INSERT INTO t VALUES (2)").unwrap();
    assert_eq!(count(&mut open).unwrap(), 2, "the writer's row is seen");
    drop((open, writer));

    let how = How::Frozen(beside::Print::of(&path));
    let connection = super::open(&path, Access::Read, &how).unwrap();
    let mut open = Open { connection, path: path.clone(), how, tables: Arc::default() };
    let writes = |db: &mut Connection| {
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("INSERT INTO t VALUES (3)").unwrap();
        drop(writer);
        db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).map_err(error_from)
    };
    let error = open.read(writes).unwrap_err();
    assert!(error.to_string().contains("written to while it was read"), "{error}");
}

#[test]
fn a_statement_without_end_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    wal(&path);
    let db = block_on(Sqlite::open(&path, Access::Read)).unwrap().within(Some(Duration::from_millis(50)));
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let error = block_on(db.run(move |db| db.query_row(endless, [], |_| Ok(())).map_err(error_from))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let unlimited = db.within(None);
    let work = move |db: &mut Connection| db.query_row(endless, [], |_| Ok(())).map_err(error_from);
    let error = block_on(unlimited.run_within(Duration::from_millis(50), work)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let db = unlimited.within(Some(Duration::from_millis(50)));
    // The next statement has its own time; on a slow machine that may be over, too, but not again and again.
    assert!((0..100).any(|_| count(&db).is_ok_and(|rows| rows == 1)), "the next statement has its own time");
}

#[test]
fn values_are_bounded_and_pipes_are_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    wal(&path);
    let db = block_on(Sqlite::open(&path, Access::Read)).unwrap();
    let long = "SELECT length(zeroblob(300000000) || '')";
    let error = block_on(db.run(move |db| db.query_row(long, [], |_| Ok(())).map_err(error_from))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable, "{error}");
    #[cfg(target_os = "linux")]
    {
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        assert_eq!(kind(&pipe, Access::Read), ErrorKind::Connect);
    }
}

#[test]
fn a_reader_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    block_on(async {
        let writer = Sqlite::open(&path, Access::Create).await.unwrap();
        writer.run(|db| db.execute_batch("CREATE TABLE t(a)").map_err(error_from)).await.unwrap();
        let reader = Sqlite::open(&path, Access::Read).await.unwrap();
        let refused = reader.run(|db| db.execute_batch("INSERT INTO t VALUES (1)").map_err(error_from)).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Refused);
    });
}
