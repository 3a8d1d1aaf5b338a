//! What the system says of a process and its descendants.

use std::fs;

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

/// The memory of a process that is in use, in bytes; 0 where it has ended.
pub fn memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The directories of a process's threads.
fn threads(id: u32) -> impl Iterator<Item = String> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    threads.map(|thread| thread.path().display().to_string())
}
