//! An image: the files of one database as they lie on a disk.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use mainspring_proof_vfs::FileKind;

/// The kinds of files that outlive a process. The index of the log is none: it is made anew from the log.
pub(crate) const LASTING: [FileKind; 3] = [FileKind::Database, FileKind::Wal, FileKind::Journal];

/// The files of a database, whole. One that is not there is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) files: BTreeMap<FileKind, Vec<u8>>,
}

/// Tells two contents apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Digest(u64, u64);

impl Image {
    /// Reads what lies at `path`.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut image = Self::default();
        for kind in LASTING {
            match fs::read(beside(path, kind)) {
                Ok(bytes) => drop(image.files.insert(kind, bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(image)
    }

    /// Lays it down at `path`, where nobody has the files open, and takes away what lay there before.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        for kind in LASTING {
            let name = beside(path, kind);
            match self.files.get(&kind) {
                Some(bytes) => overwrite(&name, bytes)?,
                None => remove(&name)?,
            }
        }
        remove(&beside(path, FileKind::Shm))
    }

    pub(crate) fn digest(&self) -> Digest {
        let mut digest = Digest(1, 2);
        for (kind, bytes) in &self.files {
            digest = digest.and(kind.as_str().as_bytes()).and(bytes);
        }
        digest
    }
}

/// The file of that kind of the database at `path`.
pub(crate) fn beside(path: &Path, kind: FileKind) -> PathBuf {
    match kind {
        FileKind::Database => path.to_path_buf(),
        other => PathBuf::from(format!("{}-{other}", path.display())),
    }
}

/// Without making the file anew: the memory that it has is used again.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

const FACTORS: (u64, u64) = (0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(1, 2).and(bytes)
    }

    /// Two lanes of multiplications and rotations: nobody attacks it, and an image is half a megabyte.
    fn and(self, bytes: &[u8]) -> Self {
        let Self(mut one, mut two) = self;
        let mut eat = |word: u64| {
            one = (one ^ word).wrapping_mul(FACTORS.0).rotate_left(29);
            two = (two.rotate_left(31) ^ word).wrapping_mul(FACTORS.1);
        };
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| eat(u64::from_le_bytes(*word)));
        rest.iter().for_each(|byte| eat(u64::from(*byte)));
        eat(bytes.len() as u64);
        Self(one, two)
    }
}
