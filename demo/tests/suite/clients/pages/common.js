// In front of this there is a line with the settings of the test.

// Timers that have not ended, and what has gone wrong, for the test.
const timers = new Set();
const problems = [];

for (const [name, isRepeated] of [["setTimeout", false], ["setInterval", true]]) {
    const set = window[name].bind(window);
    window[name] = (action, ...rest) => {
        const timer = set(() => {
            if (!isRepeated) {
                timers.delete(timer);
            }
            action.call(window);
        }, ...rest);
        timers.add(timer);
        return timer;
    };
}
for (const name of ["clearTimeout", "clearInterval"]) {
    const clear = window[name].bind(window);
    window[name] = timer => {
        timers.delete(timer);
        clear(timer);
    };
}
addEventListener("error", event => problems.push(event.message));
addEventListener("unhandledrejection", event => problems.push(String(event.reason)));

// The same server under another name, which makes another origin of it.
const elsewhere = location.origin.replace("127.0.0.1", "localhost");

// An id as most clients make it: 32 digits.
function newId() {
    return Array.from({ length: 32 }, () => Math.floor(Math.random() * 16).toString(16)).join("");
}
