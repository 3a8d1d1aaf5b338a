//! Programs that are started, and never left behind.

use crate::usage;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::thread;

/// A command, and where to send the process that came of it.
type Order = (Command, Sender<io::Result<Child>>);

/// Starts processes, from one thread that goes on until the program ends: the system takes a process's parent for dead when
/// the thread has ended that started it.
static STARTER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
    let (sender, orders) = channel::<Order>();
    thread::spawn(move || {
        for (mut command, answer) in orders {
            // Whoever has ordered it waits for it.
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(sender)
});

/// A process that is killed with all its descendants when this is dropped, and by itself when this program ends in whatever
/// way.
pub struct OwnedChild(Child);

impl OwnedChild {
    pub fn start(command: Command) -> io::Result<Self> {
        start(command).map(Self)
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Kills it and its descendants, if it has not ended.
    pub fn kill(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        // It comes first, so that it starts no others in the place of those that are killed.
        for id in usage::family(self.id()) {
            // One that has ended by now needs none.
            let _ = i32::try_from(id).ok().and_then(Pid::from_raw).map(|id| kill_process(id, Signal::KILL));
        }
        let _ = self.0.wait();
    }
}

impl Drop for OwnedChild {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `command` to its end, and returns all that it wrote.
///
/// # Errors
/// Where it cannot be run.
pub fn output(mut command: Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    start(command)?.wait_with_output()
}

fn start(mut command: Command) -> io::Result<Child> {
    let die_with_parent = || set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from);
    // SAFETY: between fork and exec, where other threads may have held any lock, this makes one system call, and neither
    // allocates nor locks.
    unsafe { command.pre_exec(die_with_parent) };
    let (sender, child) = channel();
    let starter = STARTER.lock().expect("nobody panics with the starter locked");
    starter.send((command, sender)).expect("the thread goes on until the program ends");
    drop(starter);
    child.recv().expect("the thread answers each order")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;
    use std::path::Path;

    #[test]
    fn a_process_outlives_the_thread_that_ordered_it() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let mut sleeper = thread::spawn(|| OwnedChild::start(command)).join().unwrap().unwrap();
        assert!(sleeper.child().try_wait().unwrap().is_none());
        sleeper.kill();
        assert!(!sleeper.child().try_wait().unwrap().unwrap().success());
    }

    #[test]
    fn descendants_are_killed_too() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600; true"]);
        let shell = OwnedChild::start(command).unwrap();
        let sleeper = wait::until("the shell has a child", || usage::family(shell.id()).get(1).copied().ok_or("none"));
        drop(shell);
        wait::until("the child is gone", || {
            if Path::new(&format!("/proc/{sleeper}/exe")).exists() { Err("it is there") } else { Ok(()) }
        });
    }

    /// Starts a sleeper and waits, where the variable is set; run by the next test.
    const PARENT: &str = "TESTKIT_PARENT";

    #[test]
    fn processes_die_with_a_program_that_is_killed() {
        let mut sleep = Command::new("sleep");
        sleep.arg("600");
        if std::env::var_os(PARENT).is_some() {
            let _sleeper = OwnedChild::start(sleep).unwrap();
            loop {
                thread::park();
            }
        }
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "child::tests::processes_die_with_a_program_that_is_killed"]).env(PARENT, "1");
        let mut program = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let sleeper = wait::until("it has started a process", || {
            let sleeper = usage::family(program.id()).get(1).copied().ok_or("none")?;
            // Before it is another program it may not have been told yet when to die.
            let name = std::fs::read_to_string(format!("/proc/{sleeper}/comm")).unwrap_or_default();
            if name == "sleep\n" { Ok(sleeper) } else { Err("it is not another program yet") }
        });
        program.kill().unwrap();
        program.wait().unwrap();
        wait::until("that process is gone", || {
            if Path::new(&format!("/proc/{sleeper}/exe")).exists() { Err("it is there") } else { Ok(()) }
        });
    }
}
