//! Which job a caller means: by id or by name.

use rusqlite::Connection;

use crate::brief::Quoted;
use crate::error::{Error, Result};
use crate::job::{Job, JobId};
use crate::store::{read, schedule};

/// A job by its id or by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobKey {
    /// By its id.
    Id(JobId),
    /// By its name.
    Name(String),
}

impl From<JobId> for JobKey {
    fn from(id: JobId) -> Self {
        Self::Id(id)
    }
}

impl From<&str> for JobKey {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for JobKey {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl JobKey {
    /// The job's id.
    pub(super) fn resolve(&self, conn: &Connection) -> Result<JobId> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::Name(name) => {
                read::id_of_name(conn, name)?.ok_or_else(|| Error::JobNotFound(Quoted(name).to_string()))
            }
        }
    }

    /// The whole job.
    pub(super) fn find(&self, conn: &Connection) -> Result<Job> {
        match self {
            Self::Id(id) => read::require_job(conn, *id),
            Self::Name(name) => {
                schedule::by_name(conn, name)?.ok_or_else(|| Error::JobNotFound(Quoted(name).to_string()))
            }
        }
    }
}
