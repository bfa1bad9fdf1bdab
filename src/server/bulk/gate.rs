//! How many downloads run from a host at a time, in this process.
//!
//! Additive increase and multiplicative decrease, as TCP has it (RFC 5681 §3.1). Guards: a host that says that
//! it has too much to do is left alone until the time that it names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::time::Timestamp;

/// How many downloads a host gets at first.
const START: f64 = 4.0;
/// How many it gets at most.
const MAX: f64 = 8.0;

/// The gates of all hosts; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Gates(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    hosts: Mutex<HashMap<String, Gate>>,
    /// Somebody left a gate, or one was widened.
    changed: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Gate {
    /// How many downloads may run; a fraction is on its way to the next.
    limit: f64,
    running: u32,
    closed_until: Timestamp,
}

impl Default for Gate {
    fn default() -> Self {
        Self { limit: START, running: 0, closed_until: Timestamp::default() }
    }
}

/// The right to download from a host; it ends when this is dropped.
#[derive(Debug)]
pub struct Pass {
    gates: Gates,
    host: String,
}

impl Gates {
    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Gate>> {
        self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room at the host.
    ///
    /// # Errors
    /// Until when the host is left alone, if it is.
    pub async fn enter(&self, host: &str, now: Timestamp) -> Result<Pass, Timestamp> {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut hosts = self.hosts();
                let gate = hosts.entry(host.to_owned()).or_default();
                if gate.closed_until > now {
                    return Err(gate.closed_until);
                }
                if f64::from(gate.running) + 1.0 <= gate.limit {
                    gate.running += 1;
                    return Ok(Pass { gates: self.clone(), host: host.to_owned() });
                }
            }
            changed.await;
        }
    }

    /// How many downloads may run from a host.
    pub fn limit(&self, host: &str) -> f64 {
        self.hosts().get(host).copied().unwrap_or_default().limit
    }
}

impl Pass {
    fn change(&self, change: impl FnOnce(&mut Gate)) {
        if let Some(gate) = self.gates.hosts().get_mut(&self.host) {
            change(gate);
        }
        self.gates.0.changed.notify_waiters();
    }

    /// A download went well: after as many as may run at a time, one more may.
    pub fn went_well(&self) {
        self.change(|gate| gate.limit = (gate.limit + 1.0 / gate.limit).min(MAX));
    }

    /// The host has too much to do: half as many from now on, and none until it wants to be asked again.
    pub fn too_much(&self, now: Timestamp, until: Timestamp) {
        self.change(|gate| {
            // What was asked at the same time is refused at the same time, and counts once.
            if gate.closed_until <= now {
                gate.limit = (gate.limit / 2.0).floor().max(1.0);
            }
            gate.closed_until = gate.closed_until.max(until);
        });
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.change(|gate| gate.running = gate.running.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const NOW: Timestamp = Timestamp(1_000_000);

    const LATER: Timestamp = Timestamp(NOW.0 + 30_000);

    async fn enter(gates: &Gates) -> Option<Pass> {
        timeout(Duration::from_millis(20), gates.enter("ehr.example", LATER)).await.ok()?.ok()
    }

    #[tokio::test]
    async fn shrinks_and_grows_back() {
        let gates = Gates::default();
        let mut passes = Vec::new();
        for _ in 0..4 {
            passes.push(enter(&gates).await.unwrap());
        }
        assert!(enter(&gates).await.is_none());
        assert!(gates.enter("other.example", NOW).await.is_ok());
        passes[0].too_much(NOW, LATER);
        passes[1].too_much(NOW.plus_seconds(1), LATER);
        assert!((gates.limit("ehr.example") - 2.0).abs() < 0.1);
        passes.truncate(2);
        assert!(enter(&gates).await.is_none());
        for _ in 0..3 {
            passes[0].went_well();
        }
        assert!(enter(&gates).await.is_some());
        for _ in 0..100 {
            passes[0].went_well();
        }
        assert!((gates.limit("ehr.example") - MAX).abs() < 0.1);
    }

    #[tokio::test]
    async fn is_closed_until_the_time_that_the_host_names() {
        let gates = Gates::default();
        let pass = enter(&gates).await.unwrap();
        pass.too_much(NOW, LATER);
        assert_eq!(gates.enter("ehr.example", NOW).await.err(), Some(LATER));
        assert!(gates.enter("ehr.example", LATER).await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_is_let_in() {
        let gates = Gates::default();
        let mut passes = Vec::new();
        for _ in 0..4 {
            passes.push(enter(&gates).await.unwrap());
        }
        let waiting = tokio::spawn({
            let gates = gates.clone();
            async move { gates.enter("ehr.example", NOW).await.is_ok() }
        });
        tokio::task::yield_now().await;
        passes.clear();
        assert!(waiting.await.unwrap());
    }
}
