//! What a process took: time, processor time, memory; from the kernel's accounts of it.

use std::fs;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Ticks of processor time in a second, on every Linux.
const TICKS: f64 = 100.0;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Taken {
    /// Seconds by the clock.
    pub wall: f64,
    /// Seconds of processor, user and system, of this process.
    pub cpu: f64,
    /// The most memory that the process had, in MB (of 10^6 bytes).
    pub peak: f64,
    /// What was asked for: rows, bytes, or microseconds.
    pub figure: f64,
}

pub struct Watch {
    began: Instant,
    cpu: f64,
}

impl Watch {
    pub fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu() }
    }

    pub fn stop(&self, figure: f64) -> Taken {
        Taken { wall: self.began.elapsed().as_secs_f64(), cpu: cpu() - self.cpu, peak: peak(), figure }
    }
}

fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name, in brackets, may have blanks.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
}

fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
}

/// A part of the sorted times, in microseconds.
pub fn percentile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((times.len() - 1) as f64 * part).round() as usize;
    times[at].as_secs_f64() * 1e6
}
