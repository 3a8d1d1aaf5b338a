//! What the system says of a process and its descendants.

use std::fs;
use std::iter::Sum;

/// A process and all its descendants, itself first.
pub fn family(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    let mut next = 0;
    while let Some(id) = all.get(next) {
        let children = threads(*id).flat_map(|thread| {
            let children = fs::read_to_string(format!("{thread}/children")).unwrap_or_default();
            children.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()
        });
        let children: Vec<_> = children.collect();
        all.extend(children);
        next += 1;
    }
    all
}

/// The processor time that a process took so far, user and system, in seconds; 0 where it has ended. The scheduler counts it
/// for each thread, in nanoseconds.
pub fn processor_time(id: u32) -> f64 {
    let spent = threads(id).filter_map(|thread| {
        let statistics = fs::read_to_string(format!("{thread}/schedstat")).ok()?;
        statistics.split(' ').next()?.parse::<u64>().ok()
    });
    spent.sum::<u64>() as f64 / 1e9
}

/// What a process has of the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The memory that is in use, in bytes.
    pub memory: u64,
    /// The part of it that belongs to no file, in bytes.
    pub anonymous: u64,
    /// Open files, with sockets.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Usage {
    /// Of this process; nothing where it has ended.
    pub fn of(id: u32) -> Self {
        // What /proc/ID/status says may be wrong by some hundreds of kilobytes: each processor counts for itself first.
        let mappings = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
        let kilobytes = |name: &str| -> u64 {
            let line = mappings.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
        };
        let descriptors = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().count() as u64;
        Self {
            memory: kilobytes("Rss") * 1024,
            anonymous: kilobytes("Anonymous") * 1024,
            descriptors,
            threads: threads(id).count() as u64,
        }
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            memory: sum.memory + one.memory,
            anonymous: sum.anonymous + one.anonymous,
            descriptors: sum.descriptors + one.descriptors,
            threads: sum.threads + one.threads,
        })
    }
}

/// The directories of a process's threads.
fn threads(id: u32) -> impl Iterator<Item = String> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    threads.map(|thread| thread.path().display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn what_this_process_opens_is_counted() {
        let id = std::process::id();
        let before = Usage::of(id);
        assert!(before.anonymous > 0 && before.memory > before.anonymous && before.threads > 0, "{before:?}");
        let open: Vec<_> = (0..500).map(|_| File::open("/dev/null").unwrap()).collect();
        // Other tests open a few, and close them.
        assert!(Usage::of(id).descriptors > before.descriptors + 400);
        drop(open);
        assert!(Usage::of(id).descriptors < before.descriptors + 100);
        assert_eq!([Usage::of(u32::MAX)].into_iter().sum::<Usage>(), Usage::default());
    }
}
