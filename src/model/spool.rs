//! Values that may be more than memory should hold: a few stay in memory, the rest goes into a file without a name that ends with
//! the process.

use std::fs::File;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// So many bytes are held in memory.
const HELD: usize = 1 << 20;

/// Values in their order, each read when it is asked for.
#[derive(Debug)]
pub struct Spool<T> {
    /// Where each begins, and how long it is.
    places: Vec<(u64, u32)>,
    /// What is not in the file.
    held: Vec<u8>,
    file: Option<File>,
    /// How much is in the file.
    filed: u64,
    of: PhantomData<fn() -> T>,
}

impl<T> Default for Spool<T> {
    fn default() -> Self {
        Self { places: Vec::new(), held: Vec::new(), file: None, filed: 0, of: PhantomData }
    }
}

/// A new file of this user's alone, under no name. In `TMPDIR`, else `/tmp`.
#[cfg(unix)]
fn nameless() -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = std::env::temp_dir().join(format!("sen-{}", uuid::Uuid::new_v4()));
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Io, "what is kept in a temporary file cannot be used").with_source(error)
}

impl<T: Serialize + DeserializeOwned> Spool<T> {
    /// These, unless one is an error.
    ///
    /// # Errors
    /// That one; as [`Self::push`].
    pub fn of(values: impl IntoIterator<Item = Result<T>>) -> Result<Self> {
        let mut spool = Self::default();
        values.into_iter().try_for_each(|value| spool.push(&value?))?;
        Ok(spool)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds one.
    ///
    /// # Errors
    /// `Io` when the file cannot be written.
    pub fn push(&mut self, value: &T) -> Result<()> {
        let begin = self.filed + self.held.len() as u64;
        serde_json::to_writer(&mut self.held, value).map_err(failed)?;
        let length = self.filed + self.held.len() as u64 - begin;
        self.places.push((begin, u32::try_from(length).map_err(failed)?));
        if self.held.len() > HELD { self.spill() } else { Ok(()) }
    }

    #[cfg(unix)]
    fn spill(&mut self) -> Result<()> {
        use std::os::unix::fs::FileExt as _;
        if self.file.is_none() {
            // Where there is no room for one, memory has to do.
            self.file = nameless().ok();
        }
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(&self.held, self.filed).map_err(failed)?;
        self.filed += self.held.len() as u64;
        self.held.clear();
        Ok(())
    }

    #[cfg(not(unix))]
    fn spill(&mut self) -> Result<()> {
        Ok(())
    }

    #[cfg(unix)]
    fn filed(&self, begin: u64, length: usize) -> Result<Vec<u8>> {
        use std::os::unix::fs::FileExt as _;
        let mut bytes = vec![0; length];
        self.file.as_ref().map_or(Ok(()), |file| file.read_exact_at(&mut bytes, begin)).map_err(failed)?;
        Ok(bytes)
    }

    #[cfg(not(unix))]
    fn filed(&self, _: u64, _: usize) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// The one at this place.
    ///
    /// # Errors
    /// `Io` when the file cannot be read.
    pub fn get(&self, at: usize) -> Result<T> {
        self.part(at)
    }

    /// A part of the one at this place.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn part<U: DeserializeOwned>(&self, at: usize) -> Result<U> {
        let (begin, length) = *self.places.get(at).ok_or_else(|| failed("there is none at this place"))?;
        let length = usize::try_from(length).map_err(failed)?;
        match begin.checked_sub(self.filed) {
            Some(begin) => {
                let begin = usize::try_from(begin).map_err(failed)?;
                serde_json::from_slice(&self.held[begin..begin + length]).map_err(failed)
            }
            None => serde_json::from_slice(&self.filed(begin, length)?).map_err(failed),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Result<T>> + Send + '_ {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Leaves those at these places, in this order.
    pub fn arrange(&mut self, order: impl IntoIterator<Item = usize>) {
        self.places = order.into_iter().filter_map(|at| self.places.get(at).copied()).collect();
    }
}

/// What becomes of a value that is only needed in part.
#[derive(Deserialize)]
pub(crate) struct Named {
    /// What it is about.
    pub subject: crate::subject::Subject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_values_are_read_back_and_few_are_held() {
        let mut spool = Spool::<String>::default();
        let value = |at: usize| format!("{at} ").repeat(200 + at % 7);
        for at in 0..5000 {
            spool.push(&value(at)).unwrap();
        }
        assert!(spool.held.len() <= HELD && spool.filed > 2 * HELD as u64, "{} held", spool.held.len());
        for at in [0, 1, 2500, 4998, 4999] {
            assert_eq!(spool.get(at).unwrap(), value(at));
        }
        assert!(spool.iter().zip(0..).all(|(kept, at)| kept.unwrap() == value(at)));
        spool.arrange([4999, 0]);
        assert_eq!((spool.len(), spool.get(0).unwrap(), spool.get(1).unwrap()), (2, value(4999), value(0)));
        assert!(spool.get(2).is_err());
    }
}
