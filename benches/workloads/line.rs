//! What is printed.

use std::fmt;

use crate::measure::{Unit, median};

/// One contestant's line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) workload: String,
    pub(crate) goal: &'static str,
    pub(crate) contestant: String,
    pub(crate) unit: Unit,
    pub(crate) values: Vec<f64>,
    /// Why a round has no value.
    pub(crate) skipped: Option<String>,
    /// How much better than the floor: the median over rounds of the ratio within one.
    pub(crate) floor_ratio: f64,
    pub(crate) load: f64,
    pub(crate) others: f64,
}

impl Line {
    pub(crate) fn median(&self) -> f64 {
        median(&self.values)
    }

    pub(crate) fn min(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(reason), []) = (&self.skipped, &self.values[..]) {
            return write!(f, "workload {} {} skipped reason={reason}", self.workload, self.contestant);
        }
        write!(
            f,
            "workload {} {} median={:.2} min={:.2} max={:.2} unit={} floor_ratio={:.2} load={:.2} others={:.2}",
            self.workload,
            self.contestant,
            self.median(),
            self.min(),
            self.max(),
            self.unit,
            self.floor_ratio,
            self.load,
            self.others,
        )?;
        self.skipped.as_ref().map_or(Ok(()), |reason| write!(f, " some_rounds_skipped={reason}"))
    }
}
