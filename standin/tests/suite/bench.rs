//! A server with the module loaded into it, and requests made by hand.

use lighttpd2::sys;
use standin::action::Action;
use standin::log::Log;
use standin::memory::Memory;
use standin::module::Module;
use standin::request::{Close, Request};
use standin::server::StandInServer;
use standin::value::Data;
use testkit::module;

/// A loaded module that is prepared for requests.
pub struct Bench<'m> {
    pub module: &'m Module<'m>,
    pub track: Action<'m>,
    pub show: Action<'m>,
}

/// Loads the module.
pub fn load(server: &StandInServer) -> Module<'_> {
    Module::load(server, &module().unwrap()).expect("it is a good server")
}

/// Prepares the module, which has to say which one it is, and returns what else it says.
pub fn prepare(module: &Module<'_>) -> Vec<String> {
    module.handle_prepare();
    let mut lines = module.server().log.take();
    let first = lines.remove(0);
    assert!(first.starts_with("(info) ") && first.contains(": mod_progress ") && first.contains("Rust"), "{first}");
    lines
}

/// Runs `test` on a server with that many workers. Whatever is in its log afterwards is a failure.
pub fn bench(memory: Memory, workers: u32, test: impl FnOnce(&Bench<'_>)) {
    bench_with(&[], memory, workers, test);
}

/// The same with these setups.
pub fn bench_with(setups: &[(&str, Data)], memory: Memory, workers: u32, test: impl FnOnce(&Bench<'_>)) {
    let server = StandInServer::new(workers, memory, Log::kept());
    let module = load(&server);
    for (name, value) in setups {
        assert!(server.set_up(name, Some(value)), "{name} {value:?}");
    }
    assert_eq!(prepare(&module), [""; 0]);
    let [track, show] =
        ["progress.track", "progress.show"].map(|name| server.action(name, None).expect("the module has this action"));
    test(&Bench { module: &module, track, show });
    drop(module);
    assert_eq!(server.log.take(), [""; 0], "nobody expected that");
}

impl<'m> Bench<'m> {
    /// The server.
    pub fn server(&self) -> &'m StandInServer {
        self.module.server()
    }

    /// A request of worker 0 with a body of 1000 bytes, tracked under `id`.
    pub fn tracked(&self, id: &[u8]) -> Request<'m> {
        let mut request = Request::new(self.module, 0);
        request.enter(sys::LI_HTTP_METHOD_POST, Some(&query(id)), 1000);
        request.perform(&self.track);
        request
    }

    /// What the module answers for `id`, on worker 0.
    pub fn report(&self, id: &[u8]) -> String {
        let mut request = Request::new(self.module, 0);
        let answer = ask(&mut request, &self.show, id).expect("the id is a good one");
        request.close(Close::KeptAlive);
        answer
    }
}

/// What `show` answers to `request` for `id`, if it does.
pub fn ask(request: &mut Request<'_>, show: &Action<'_>, id: &[u8]) -> Option<String> {
    request.enter(sys::LI_HTTP_METHOD_GET, Some(&query(id)), 0);
    request.perform(show);
    request.answer().map(|answer| String::from_utf8(answer.body).expect("it is text"))
}

/// A query string with that id.
pub fn query(id: &[u8]) -> Vec<u8> {
    [b"X-Progress-Id=", id].concat()
}
