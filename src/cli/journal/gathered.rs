//! A file for one process with all that is known of an operation: what the database's journal has, and this machine's.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use sen_core::error::Result;
use sen_core::model::ident::OperationId;
use sen_core::model::journal::{Entered, EntryKind, Head, JournalStore};

use super::line::{Line, folder};
use crate::files;
use crate::plans::Summed;

/// The file; it goes when nobody needs it any more.
pub struct Gathered(PathBuf);

impl Drop for Gathered {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An entry of the database's journal as a line of one in a file; none for a target of the plan.
pub fn line_of(entry: Entered) -> Option<Line> {
    match entry.kind {
        EntryKind::Planned => None,
        EntryKind::Begun | EntryKind::Settled | EntryKind::Ended => serde_json::from_str(entry.line.as_deref()?).ok(),
        EntryKind::Changed => {
            let place = usize::try_from(entry.place?).ok()?;
            let subject = serde_json::from_value(entry.subject?.into()).ok()?;
            let changes = entry.rows.and_then(|rows| serde_json::from_str(&rows).ok()).unwrap_or_default();
            Some(Line::Changed { place, subject, changes })
        }
    }
}

impl Gathered {
    /// All that is known of an operation; `own` are the lines that this machine has of it.
    ///
    /// # Errors
    /// What the store reports; `Io`.
    pub async fn of(store: &dyn JournalStore, head: &Head, own: impl Iterator<Item = String>) -> Result<Self> {
        let name = format!("{}.{}.part", head.operation, OperationId::fresh());
        let folder = folder().filter(|folder| make(folder).is_ok()).unwrap_or_else(std::env::temp_dir);
        let path = folder.join(name);
        let failed = files::cannot("write to", &path);
        let file = files::create(&path).map_err(failed)?;
        let gathered = Self(path.clone());
        let mut out = Summed::new(BufWriter::new(file));
        writeln!(out, "{}", head.plan).map_err(failed)?;
        let mut planned = Some(own);
        let mut behind = None;
        let operations = [head.operation.clone()];
        loop {
            let page = store.page(&operations, behind.as_ref(), true).await?;
            let last = page.last().map(|(operation, number, _)| (operation.clone(), *number));
            for (_, _, entry) in page {
                match (entry.kind, entry.line.as_deref()) {
                    (EntryKind::Planned, Some(line)) => writeln!(out, "{line}").map_err(failed)?,
                    _ => {
                        // The plan stands first; behind it what this machine knows.
                        if let Some(own) = planned.take() {
                            close(&mut out, own).map_err(failed)?;
                        }
                        let line = line_of(entry).and_then(|line| serde_json::to_string(&line).ok());
                        line.map_or(Ok(()), |line| writeln!(out, "{line}")).map_err(failed)?;
                    }
                }
            }
            match last {
                Some(last) => behind = Some(last),
                None => break,
            }
        }
        if let Some(own) = planned.take() {
            close(&mut out, own).map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        Ok(gathered)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// The end of the plan, and the lines that were kept behind it.
fn close(out: &mut Summed<BufWriter<File>>, own: impl Iterator<Item = String>) -> std::io::Result<()> {
    out.close()?;
    own.into_iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// The folder of journals.
pub fn make(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
