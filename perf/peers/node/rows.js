// rows.js ROW... - the rows of perf/bench_rows.c that Node has; run with --expose-gc.
//
// Prints "ROW VALUE" for each that is asked for; without arguments, the rows it has.  "two" rows go
// between two worker threads by a MessageChannel, the only way there is.
"use strict";
const { Worker, isMainThread, parentPort, workerData } = require("node:worker_threads");

const BATCH = 64;
const MILLION = 1_000_000;

const clock = () => Number(process.hrtime.bigint());
const per = (begun, n) => (clock() - begun) / n;
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

function check(good, what) {
    if (!good)
        throw new Error(what);
}

// An async function that really suspends, or there would be no task to speak of.
async function task(i) {
    await null;
    return i;
}

async function spawnJoin() {
    const n = 100_000, begun = clock();
    for (let i = 0; i < n; i++)
        check(await task(i) === i, "a result is wrong");
    return per(begun, n);
}

async function spawnJoin64() {
    const n = 2_000, begun = clock();
    for (let i = 0; i < n; i++)
        await Promise.all(Array.from({ length: BATCH }, (_, j) => task(j)));
    return per(begun, n * BATCH);
}

// A turn of the event loop: what lets I/O in between, as a yield elsewhere does.
async function yield64() {
    const n = 1_000, begun = clock();
    await Promise.all(Array.from({ length: BATCH }, async () => {
        for (let i = 0; i < n; i++)
            await nextTurn();
    }));
    return per(begun, n * BATCH);
}

async function awaitReady() {
    const ready = Promise.resolve(1), begun = clock();
    for (let i = 0; i < MILLION; i++)
        await ready;
    return per(begun, MILLION);
}

// A request with a promise for its answer; the other side waits for requests by a promise as well.
async function oneshotOne() {
    const n = 100_000;
    let wake, letters = new Promise((resolve) => { wake = resolve; });
    const echo = (async () => {
        for (let i = 0; i < n; i++) {
            const answer = await letters;
            letters = new Promise((resolve) => { wake = resolve; });
            answer(i);
        }
    })();
    const begun = clock();
    for (let i = 0; i < n; i++) {
        const got = await new Promise((resolve) => wake(resolve));
        check(got === i, "an answer is wrong");
    }
    const value = per(begun, n);
    await echo;
    return value;
}

async function mpscTwo() {
    const n = 20_000, worker = new Worker(__filename, { workerData: "echo" });
    let home;
    worker.on("message", (number) => home(number));
    const ask = (number) => new Promise((resolve) => {
        home = resolve;
        worker.postMessage(number);
    });
    await ask(0);
    const begun = clock();
    for (let i = 0; i < n; i++)
        check(await ask(i) === i, "a message is wrong");
    const value = per(begun, n);
    await worker.terminate();
    return value;
}

async function timers() {
    const begun = clock(), armed = new Array(MILLION);
    for (let i = 0; i < MILLION; i++)
        armed[i] = setTimeout(check, 3_600_000 + (i * 7919) % 3_600_000, false, "it fired");
    for (let i = 0; i < MILLION; i++)
        clearTimeout(armed[i]);
    return per(begun, MILLION);
}

// Timeouts of one length that start together are due together; the first to be late counts from
// their moment.
async function sleepsDue() {
    const when = clock() + 200e6;
    await Promise.all(Array.from({ length: 10_000 }, () =>
        new Promise((resolve) => setTimeout(resolve, Math.ceil((when - clock()) / 1e6)))));
    return (clock() - when) / 1e3;
}

async function intervalLate() {
    const n = 500, late = [], first = clock() + 1e6;
    await new Promise((resolve) => {
        const interval = setInterval(() => {
            late.push((clock() - first - late.length * 1e6) / 1e3);
            if (late.length === n) {
                clearInterval(interval);
                resolve();
            }
        }, 1);
    });
    late.sort((a, b) => a - b);
    return late[Math.floor(n * 99 / 100)];
}

async function parked() {
    const n = 50_000, handles = new Array(n);
    let free;
    const gate = new Promise((resolve) => { free = resolve; });
    global.gc();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < n; i++)
        handles[i] = (async () => { await gate; })();
    await nextTurn();
    const bytes = (process.memoryUsage().rss - before) / n;
    free();
    await Promise.all(handles);
    return bytes;
}

const rows = {
    "spawn-join": spawnJoin,
    "spawn-join-64": spawnJoin64,
    "yield": yield64,
    "await-ready": awaitReady,
    "oneshot-one": oneshotOne,
    "mpsc-two": mpscTwo,
    "timers": timers,
    "sleeps-due": sleepsDue,
    "interval-late": intervalLate,
    "parked": parked,
};

async function main(names) {
    if (names.length === 0)
        console.log(Object.keys(rows).join("\n"));
    for (const name of names) {
        if (!(name in rows)) {
            console.error(`rows.js: no row is called ${name}`);
            process.exit(2);
        }
        console.log(`${name} ${(await rows[name]()).toFixed(3)}`);
    }
}

if (isMainThread)
    main(process.argv.slice(2));
else if (workerData === "echo")
    parentPort.on("message", (number) => parentPort.postMessage(number));
