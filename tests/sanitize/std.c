// Tells ThreadSanitizer what the standard library's locks do where the compiler has not told it, since that library is built without
// it: a thread that had to wait for a lock has it after the one that released it, which is told; it is compiled into what uses locks.
// Put around the library's own functions by the linker's --wrap. STD is what their names have of the library's version.

void __tsan_acquire(void *);
void __tsan_release(void *);

#define JOIN3(a, b, c) a##b##c
#define NAMED(a, b, c) JOIN3(a, b, c)
#define REAL(a, b) NAMED(__real_##a, STD, b)
#define WRAP(a, b) NAMED(__wrap_##a, STD, b)

// Each takes the lock's address, where the word is that locking changes.
#define WAITING_FOR(a, b) \
	void REAL(a, b)(char *lock); \
	void WRAP(a, b)(char *lock) { \
		REAL(a, b)(lock); \
		__tsan_acquire(lock); \
	}

WAITING_FOR(_RNvMNtNtNtNtCs, _3std3sys4sync5mutex5futexNtB2_5Mutex14lock_contended)
WAITING_FOR(_RNvMNtNtNtNtCs, _3std3sys4sync6rwlock5futexNtB2_6RwLock14read_contended)
WAITING_FOR(_RNvMNtNtNtNtCs, _3std3sys4sync6rwlock5futexNtB2_6RwLock15write_contended)

// What a thread of a scope did is done for the one that waits at the scope's end; it waits for one of these words.
#define DONE REAL(_RNvMNtNtCs, _3std6thread6scopedNtB2_9ScopeData29decrement_num_running_threads)
void DONE(char *scope, _Bool panicked);
void WRAP(_RNvMNtNtCs, _3std6thread6scopedNtB2_9ScopeData29decrement_num_running_threads)(char *scope, _Bool panicked) {
	for (int word = 0; word < 3; word++) {
		__tsan_release(scope + word * sizeof(void *));
	}
	DONE(scope, panicked);
}
