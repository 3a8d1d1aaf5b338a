//! Put in front of a host by `LD_PRELOAD`, its clocks go wrong, or its module gets no memory, as the file says that `FAULTY` names:
//! [`Words`], which can be written while the host runs.
//!
//! Programs read a clock by a function that the system maps into each of them, whether by way of C's library or not. Its first
//! instructions are made a jump to this library, which asks the system in the slower way. Memory is what is asked of `mmap64`: what
//! is asked of `malloc` ends the program where there is none, as in lighttpd2.

use std::ffi::{CStr, c_int, c_long, c_void};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicPtr};
use std::{env, process, ptr};

/// What the file has, in the order of the machine's bytes.
#[repr(C)]
pub struct Words {
    /// A bit for each clock that goes wrong, by its number.
    clocks: AtomicI64,
    /// Where it is [`AHEAD`], and otherwise [`STANDS`] or [`FAILS`].
    kind: AtomicI64,
    /// In nanoseconds; negative where it is behind.
    ahead: AtomicI64,
    /// Where it is not 0, the module gets no memory.
    has_no_memory: AtomicI64,
}

/// The clock is ahead of what it should be.
pub const AHEAD: i64 = 0;
/// It stands still.
pub const STANDS: i64 = 1;
/// It cannot be read.
pub const FAILS: i64 = 2;

/// The number of a clock that the system does not have: the day, as libev asks for it.
pub const OF_LIBEV: c_int = 15;

static WORDS: AtomicPtr<Words> = AtomicPtr::new(ptr::null_mut());

/// What was last read of each clock, in nanoseconds.
static LAST: [AtomicI64; 16] = [const { AtomicI64::new(0) }; 16];

const SECOND: i64 = 1_000_000_000;

/// Called in the place of the system's function. Returns 0, or an error's number below 0.
unsafe extern "C" fn read_clock(clock: c_int, time: *mut libc::timespec) -> c_int {
    // SAFETY: the caller passes what `clock_gettime` takes.
    if unsafe { libc::syscall(libc::SYS_clock_gettime, c_long::from(clock), time) } != 0 {
        return -libc::EINVAL;
    }
    // SAFETY: the system has just filled it in.
    let time = unsafe { &mut *time };
    let Some(now) = shown(clock, time.tv_sec * SECOND + time.tv_nsec) else { return -libc::EINVAL };
    (time.tv_sec, time.tv_nsec) = (now.div_euclid(SECOND), now.rem_euclid(SECOND));
    0
}

/// What a clock shows that should show `now`, in nanoseconds; `None` where it cannot be read.
fn shown(clock: c_int, now: i64) -> Option<i64> {
    // SAFETY: NULL, or a mapping that stays.
    let words = unsafe { WORDS.load(Relaxed).as_ref() };
    let last = usize::try_from(clock).ok().and_then(|clock| LAST.get(clock));
    let (Some(words), Some(last)) = (words, last) else { return Some(now) };
    let is_wrong = words.clocks.load(Relaxed) >> clock & 1 != 0;
    let shown = match words.kind.load(Relaxed) {
        _ if !is_wrong => now,
        FAILS => return None,
        STANDS => last.load(Relaxed),
        _ => now + words.ahead.load(Relaxed),
    };
    last.store(shown, Relaxed);
    Some(shown)
}

/// In the place of C's function, which libev asks for the day: a clock of its own here.
///
/// # Safety
/// As for that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut libc::timeval, _: *mut c_void) -> c_int {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for it.
    unsafe { libc::syscall(libc::SYS_clock_gettime, c_long::from(libc::CLOCK_REALTIME), &raw mut now) };
    let Some(now) = shown(OF_LIBEV, now.tv_sec * SECOND + now.tv_nsec) else { return -1 };
    // SAFETY: the caller passes what the function takes.
    unsafe { (*time).tv_sec = now.div_euclid(SECOND) };
    // SAFETY: as above.
    unsafe { (*time).tv_usec = now.rem_euclid(SECOND) / 1_000 };
    0
}

/// In the place of C's function.
///
/// # Safety
/// As for that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    address: *mut c_void,
    length: usize,
    access: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: NULL, or a mapping that stays.
    let words = unsafe { WORDS.load(Relaxed).as_ref() };
    if words.is_some_and(|words| words.has_no_memory.load(Relaxed) != 0) && is_asked_by(c"/libmod_progress.so") {
        // SAFETY: it is this thread's.
        unsafe { *libc::__errno_location() = libc::ENOMEM };
        return libc::MAP_FAILED;
    }
    // SAFETY: the caller passes what the system takes.
    let mapped = unsafe { libc::syscall(libc::SYS_mmap, address, length, access, flags, file, offset) };
    ptr::with_exposed_provenance_mut(mapped as usize)
}

/// Whether one of the functions that are running is of a library whose path ends so.
fn is_asked_by(library: &CStr) -> bool {
    let mut frames = [ptr::null_mut(); 12];
    // SAFETY: there is room for so many.
    let count = unsafe { libc::backtrace(frames.as_mut_ptr(), frames.len() as c_int) };
    frames[..usize::try_from(count).unwrap_or(0)].iter().any(|frame| {
        let mut found = MaybeUninit::<libc::Dl_info>::uninit();
        // SAFETY: it is filled in where this does not return 0; its name is that of a library that is there.
        unsafe {
            libc::dladdr(*frame, found.as_mut_ptr()) != 0 && {
                let name = found.assume_init().dli_fname;
                !name.is_null() && CStr::from_ptr(name).to_bytes().ends_with(library.to_bytes())
            }
        }
    })
}

/// The file that says what goes wrong, as memory.
fn words(path: &str) -> Option<*mut Words> {
    let file = File::options().read(true).write(true).open(path).ok()?;
    let (size, access) = (size_of::<Words>(), libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping, which is never taken away, of a file that is not made shorter.
    let words = unsafe { libc::mmap(ptr::null_mut(), size, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    (words != libc::MAP_FAILED).then(|| words.cast())
}

/// Makes the system's function a jump to [`read_clock`].
#[cfg(target_arch = "x86_64")]
fn replace() -> Option<()> {
    const PAGE: usize = 4096;
    const LIBRARY: &CStr = c"linux-vdso.so.1";
    // mov rax, ADDRESS; jmp rax
    let mut code = [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0];
    code[2..10].copy_from_slice(&(read_clock as *const () as usize).to_ne_bytes());
    // SAFETY: the library is there in each process. Its function is longer than the jump, and no thread runs in it yet, since this is
    // done while libraries are loaded.
    unsafe {
        let library = libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        let function = ptr::NonNull::new(libc::dlsym(library, c"__vdso_clock_gettime".as_ptr()))?.as_ptr().cast::<u8>();
        let begin = function.wrapping_sub(function.addr() % PAGE).cast::<c_void>();
        let access = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        if libc::mprotect(begin, 2 * PAGE, access) != 0 && libc::mprotect(begin, PAGE, access) != 0 {
            return None;
        }
        ptr::copy_nonoverlapping(code.as_ptr(), function, code.len());
    }
    Some(())
}

#[cfg(not(target_arch = "x86_64"))]
fn replace() -> Option<()> {
    None
}

/// Called as the library is loaded.
extern "C" fn begin() {
    let Ok(path) = env::var("FAULTY") else { return };
    let Some(words) = words(&path).filter(|_| replace().is_some()) else {
        eprintln!("faulty: it cannot be used here");
        process::abort();
    };
    WORDS.store(words, Relaxed);
}

#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;
