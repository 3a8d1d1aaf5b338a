//! Listens, and hands connections to workers.

use crate::description::Description;
use crate::http::{Connection, Fate, Rules};
use crate::log::Log;
use crate::module::Module;
use crate::server::StandInServer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long requests may go on when it is stopped.
const GRACE: Duration = Duration::from_secs(1);

/// The same, of those that the module answers over time. lighttpd2 waits as long again after each write.
const LONGER_GRACE: Duration = Duration::from_secs(3);

/// What all workers share.
pub struct Service<'m> {
    /// The module.
    pub module: &'m Module<'m>,
    /// What is done with requests.
    pub rules: Rules<'m>,
    is_stopping: AtomicBool,
}

impl<'m> Service<'m> {
    /// A service that is not being stopped.
    pub fn new(module: &'m Module<'m>, rules: Rules<'m>) -> Self {
        Self { module, rules, is_stopping: AtomicBool::new(false) }
    }

    /// Whether no more requests are taken.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(SeqCst)
    }
}

/// Something failed, and the reason is in the log.
pub struct Logged;

/// Does what the description in `file` says until a signal stops it, or only tests it.
pub fn run(file: &Path, only_test: bool) -> Result<(), Logged> {
    let refuse = |reason: &str| {
        Log::Stderr.error(&format!("config error: {reason}"));
        Logged
    };
    let description = Description::read(file).map_err(|reason| refuse(&reason))?;
    let server = StandInServer::new(description.workers, description.memory, Log::Stderr);
    let module = Module::load(&server, &description.module).map_err(|_| Logged)?;
    let rules =
        Rules::new(&server, description).map_err(|reason| refuse(&format!("error in {}: {reason}", file.display())))?;
    if only_test {
        return Ok(());
    }
    serve(&server, &Service::new(&module, rules)).map_err(|error| {
        server.log.error(&error.to_string());
        Logged
    })
}

fn serve(server: &Arc<StandInServer>, service: &Service<'_>) -> io::Result<()> {
    let (signals, at_signal) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        pipe::register(signal, at_signal.try_clone()?)?;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    // Little of a body waits in the system, so that a client that goes away is noticed soon, however slow the sink.
    set_socket_recv_buffer_size(&listener, 128 * 1024)?;
    service.module.handle_prepare();
    server.set_running(true);
    thread::scope(|scope| {
        let workers: io::Result<Vec<_>> = (0..server.worker_count())
            .map(|number| {
                let (sender, inbox) = channel();
                let (bell, at_bell) = UnixStream::pair()?;
                at_bell.set_nonblocking(true)?;
                server.event_loop(number).jobs.set_bell(bell.try_clone()?);
                let worker = Worker { service, number, inbox, bell: at_bell };
                let thread = thread::Builder::new().name(format!("worker {number}"));
                Ok((Colleague { sender, bell }, thread.spawn_scoped(scope, move || worker.run())?))
            })
            .collect();
        let (colleagues, threads): (Vec<_>, Vec<_>) = workers?.into_iter().unzip();
        println!("listening {}", listener.local_addr()?);
        let accepted = accept(&listener, &signals, &colleagues);
        drop(listener);
        service.module.handle_stop_listen();
        service.is_stopping.store(true, SeqCst);
        colleagues.iter().for_each(Colleague::wake);
        for thread in threads {
            // lighttpd2 too closes on its main thread what its workers have left.
            let left = thread.join().expect("a worker does not panic");
            left.into_iter().for_each(|mut connection| connection.adopt());
        }
        accepted
    })
}

/// Hands connections to workers, one after another, until there is a signal.
fn accept(listener: &TcpListener, signals: &UnixStream, workers: &[Colleague]) -> io::Result<()> {
    for worker in workers.iter().cycle() {
        let socket = loop {
            let mut polled = [PollFd::new(signals, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
            poll_or_interrupted(&mut polled, None)?;
            if !polled[0].revents().is_empty() {
                return Ok(());
            }
            match listener.accept() {
                Ok((socket, _)) => break socket,
                // The client is gone already, or there are too many open files.
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        };
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        // A worker that is gone is noticed when it is waited for.
        let _ = worker.sender.send(socket);
        worker.wake();
    }
    Ok(())
}

/// How the main thread reaches a worker.
struct Colleague {
    sender: Sender<TcpStream>,
    bell: UnixStream,
}

impl Colleague {
    fn wake(&self) {
        // Where the bell cannot take another byte, it rings already.
        let _ = (&self.bell).write(&[1]);
    }
}

/// A worker, on its thread.
struct Worker<'m> {
    service: &'m Service<'m>,
    number: usize,
    inbox: Receiver<TcpStream>,
    bell: UnixStream,
}

impl<'m> Worker<'m> {
    /// Works until the service is stopped. Returns connections whose requests have not ended by then.
    fn run(self) -> Vec<Connection<'m>> {
        self.service.module.handle_prepare_worker(self.number);
        let event_loop = self.service.module.server().event_loop(self.number);
        let mut connections: Vec<Connection<'m>> = Vec::new();
        let (mut stopping, mut end) = (None, None);
        loop {
            event_loop.run_jobs();
            let now = Instant::now();
            if self.service.is_stopping() {
                connections.retain(|connection| !connection.is_idle());
                let grace = if connections.iter().any(Connection::is_indirect) { LONGER_GRACE } else { GRACE };
                let due = *stopping.get_or_insert(now) + grace;
                if connections.is_empty() || now >= due {
                    break;
                }
                end = Some(due);
            }
            let again = (!event_loop.jobs.is_empty()).then_some(now);
            let due = connections.iter().filter_map(Connection::wake_at).chain(end).chain(event_loop.wake_at());
            let due = due.chain(again).min();
            let ready = self.wait(&connections, due.map(|due| due.saturating_duration_since(now)));
            event_loop.turn();
            let mut ready = ready.into_iter();
            connections.retain_mut(|connection| {
                let (client, any) = ready.next().unwrap_or((PollFlags::empty(), false));
                let is_due = connection.wake_at().is_some_and(|due| due <= Instant::now());
                !(any || is_due) || connection.turn(client) == Fate::Stays
            });
            self.answer_bell();
            let new = self.inbox.try_iter().map(|socket| Connection::new(self.service, self.number, socket));
            connections.extend(new);
        }
        self.service.module.handle_worker_stop(self.number);
        while event_loop.is_kept_alive() {
            let longest = event_loop.wake_at().map(|due| due.saturating_duration_since(Instant::now()));
            self.wait(&[], longest);
            event_loop.turn();
            self.answer_bell();
        }
        connections
    }

    /// Waits until something can be done. For each connection: what is known of the client's socket, and whether anything
    /// is known.
    fn wait(&self, connections: &[Connection<'_>], longest: Option<Duration>) -> Vec<(PollFlags, bool)> {
        let mut polled = vec![PollFd::new(&self.bell, PollFlags::IN)];
        let ends: Vec<_> = connections
            .iter()
            .map(|connection| {
                connection.poll_on(&mut polled);
                polled.len()
            })
            .collect();
        self.service.module.server().event_loop(self.number).watchers.poll_on(&mut polled);
        poll_or_interrupted(&mut polled, longest).expect("sockets can be polled");
        let mut start = 1;
        ends.into_iter()
            .map(|end| {
                let flags = &polled[start..end];
                start = end;
                (flags[0].revents(), flags.iter().any(|one| !one.revents().is_empty()))
            })
            .collect()
    }

    fn answer_bell(&self) {
        let mut bytes = [0; 64];
        while (&self.bell).read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
    }
}

/// Waits until something is known of one of them, no longer than that, or until there is a signal.
pub(crate) fn poll_or_interrupted(polled: &mut [PollFd<'_>], longest: Option<Duration>) -> io::Result<()> {
    let timeout = longest.and_then(|longest| Timespec::try_from(longest).ok());
    match poll(polled, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
