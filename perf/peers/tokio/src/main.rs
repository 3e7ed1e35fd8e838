//! tokio_rows ROW... - the rows of perf/bench_rows.c on Tokio.
//!
//! Prints "ROW VALUE" for each that is asked for; without arguments, the rows it has.  As a user of
//! Tokio would write it: drivers on, the runtime's defaults.  "one" rows run on a current-thread
//! runtime; "two" rows on two of these, each on a thread of its own, so that every message crosses;
//! "workers" rows on one multi-thread runtime of two workers, where the scheduler decides.
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, Mutex, Notify};
use tokio::task::yield_now;
use tokio::time::{sleep, Sleep};

const BATCH: u64 = 64;
const MILLION: usize = 1_000_000;

fn one() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// In a task of a current-thread runtime: to wake the future of block_on itself is a system call.
fn in_one<F>(row: F) -> f64
where
    F: Future<Output = f64> + Send + 'static,
{
    one().block_on(async { tokio::spawn(row).await.unwrap() })
}

fn workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Nanoseconds for each of n.
fn per(begun: Instant, n: u64) -> f64 {
    begun.elapsed().as_nanos() as f64 / n as f64
}

// --- tasks ---

async fn spawn_join() -> f64 {
    let n = 100_000;
    let begun = Instant::now();
    for i in 0..n {
        let got = tokio::spawn(async move { i }).await.unwrap();
        assert_eq!(got, i);
    }
    per(begun, n)
}

async fn spawn_join_64() -> f64 {
    let n = 2_000;
    let mut handles = Vec::with_capacity(BATCH as usize);
    let begun = Instant::now();
    for _ in 0..n {
        for i in 0..BATCH {
            handles.push(tokio::spawn(async move { i }));
        }
        for handle in handles.drain(..) {
            handle.await.unwrap();
        }
    }
    per(begun, n * BATCH)
}

async fn yield_64() -> f64 {
    let n = 10_000;
    let mut handles = Vec::new();
    for _ in 0..BATCH {
        handles.push(tokio::spawn(async move {
            for _ in 0..n {
                yield_now().await;
            }
        }));
    }
    let begun = Instant::now();
    for handle in handles {
        handle.await.unwrap();
    }
    per(begun, n * BATCH)
}

/// A permit that is there: what an await costs that need not wait.
async fn await_ready() -> f64 {
    let n = 1_000_000u64;
    let notify = Notify::new();
    let begun = Instant::now();
    for _ in 0..n {
        notify.notify_one();
        notify.notified().await;
    }
    per(begun, n)
}

// --- channels: there and back ---

type Letter = oneshot::Sender<u64>;

async fn oneshot_echo(mut letters: mpsc::Receiver<Letter>) {
    let mut i = 0;
    while let Some(letter) = letters.recv().await {
        letter.send(i).unwrap();
        i += 1;
    }
}

/// A request with a oneshot for its answer.
async fn oneshot_ask(letters: mpsc::Sender<Letter>, n: u64) -> f64 {
    let begun = Instant::now();
    for i in 0..n {
        let (answer, answered) = oneshot::channel();
        letters.send(answer).await.unwrap();
        assert_eq!(answered.await.unwrap(), i);
    }
    per(begun, n)
}

async fn mpsc_echo(mut from: mpsc::Receiver<u64>, to: mpsc::Sender<u64>) {
    while let Some(value) = from.recv().await {
        if to.send(value).await.is_err() {
            return;
        }
    }
}

async fn mpsc_ask(to: mpsc::Sender<u64>, mut from: mpsc::Receiver<u64>, n: u64) -> f64 {
    let begun = Instant::now();
    for i in 0..n {
        to.send(i).await.unwrap();
        assert_eq!(from.recv().await, Some(i));
    }
    per(begun, n)
}

/// Messages one way, as fast as the channel takes them.
async fn mpsc_pour(to: mpsc::Sender<u64>, n: u64) {
    for i in 0..n {
        to.send(i).await.unwrap();
    }
}

async fn mpsc_drain(mut from: mpsc::Receiver<u64>) -> f64 {
    let mut n = 1;
    from.recv().await.unwrap();
    let begun = Instant::now();
    while from.recv().await.is_some() {
        n += 1;
    }
    per(begun, n)
}

async fn spawned<F>(there: F, here: impl Future<Output = f64>) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let there = tokio::spawn(there);
    let value = here.await;
    there.await.unwrap();
    value
}

/// `there` on a thread and a current-thread runtime of its own.
fn beside<F, G>(there: F, here: G) -> f64
where
    F: Future<Output = ()> + Send + 'static,
    G: Future<Output = f64> + Send + 'static,
{
    let thread = std::thread::spawn(move || {
        in_one(async {
            there.await;
            0.0
        })
    });
    let value = in_one(here);
    thread.join().unwrap();
    value
}

/// Both as tasks of a multi-thread runtime.
fn in_workers<F, G>(there: F, here: G) -> f64
where
    F: Future<Output = ()> + Send + 'static,
    G: Future<Output = f64> + Send + 'static,
{
    workers().block_on(async { tokio::spawn(spawned(there, here)).await.unwrap() })
}

// --- mutex ---

async fn mutex_alone() -> f64 {
    let n = 1_000_000u64;
    let mutex = Mutex::new(0u64);
    let begun = Instant::now();
    for _ in 0..n {
        *mutex.lock().await += 1;
    }
    per(begun, n)
}

async fn mutex_contended() -> f64 {
    let n = 1_000;
    let mutex = Arc::new(Mutex::new(0u64));
    let mut handles = Vec::new();
    for _ in 0..BATCH {
        let mutex = mutex.clone();
        handles.push(tokio::spawn(async move {
            for _ in 0..n {
                let mut count = mutex.lock().await;
                *count += 1;
                yield_now().await;
            }
        }));
    }
    let begun = Instant::now();
    for handle in handles {
        handle.await.unwrap();
    }
    let value = per(begun, n * BATCH);
    assert_eq!(*mutex.lock().await, n * BATCH);
    value
}

// --- timers ---

/// Registers a sleep with the timer; not due yet.
struct Arm<'a>(&'a mut Pin<Box<Sleep>>);

impl Future for Arm<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        assert!(self.0.as_mut().poll(context).is_pending());
        Poll::Ready(())
    }
}

/// A million, an hour or two ahead, armed and then cancelled.
async fn timers() -> f64 {
    let mut seed = 1u64;
    let mut sleeps = Vec::with_capacity(MILLION);
    let begun = Instant::now();
    for _ in 0..MILLION {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let span = Duration::from_nanos(3_600_000_000_000 + (seed >> 20) % 3_600_000_000_000);
        let mut sleep = Box::pin(sleep(span));
        Arm(&mut sleep).await;
        sleeps.push(sleep);
    }
    sleeps.clear();
    per(begun, MILLION as u64)
}

/// 10,000 tasks whose sleeps are due at one moment: microseconds from then until all have run.
async fn sleeps_due() -> f64 {
    let when = Instant::now() + Duration::from_millis(200);
    let handles: Vec<_> = (0..10_000)
        .map(|_| tokio::spawn(async move { tokio::time::sleep_until(when.into()).await }))
        .collect();
    for handle in handles {
        handle.await.unwrap();
    }
    when.elapsed().as_nanos() as f64 / 1e3
}

/// 500 ticks of 1 ms: how late one in a hundred is, in microseconds.
async fn interval_late() -> f64 {
    let mut late = Vec::new();
    let period = Duration::from_millis(1);
    let first = Instant::now() + period;
    let mut interval = tokio::time::interval_at(first.into(), period);
    for i in 0..500 {
        interval.tick().await;
        late.push((first + period * i).elapsed().as_nanos() as f64 / 1e3);
    }
    late.sort_by(|a, b| a.partial_cmp(b).unwrap());
    late[late.len() * 99 / 100]
}

// --- the runtime itself ---

/// Build, block_on, drop: microseconds.
fn start() -> f64 {
    let n = 200;
    let begun = Instant::now();
    for i in 0..n {
        assert_eq!(one().block_on(async move { i }), i);
    }
    per(begun, n) / 1e3
}

fn block_on() -> f64 {
    let n = 100_000;
    let runtime = one();
    let begun = Instant::now();
    for i in 0..n {
        assert_eq!(runtime.block_on(async move { i }), i);
    }
    per(begun, n)
}

fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096.0
}

/// Bytes of each of 50,000 tasks that wait.
async fn parked() -> f64 {
    let n = 50_000;
    let notify = Arc::new(Notify::new());
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut handles = Vec::with_capacity(n);
    let before = resident();
    for _ in 0..n {
        let (notify, waiting) = (notify.clone(), waiting.clone());
        handles.push(tokio::spawn(async move {
            waiting.fetch_add(1, Ordering::Relaxed);
            notify.notified().await
        }));
    }
    while waiting.load(Ordering::Relaxed) < n {
        yield_now().await;
    }
    let bytes = (resident() - before) / n as f64;
    notify.notify_waiters();
    for handle in handles {
        handle.await.unwrap();
    }
    bytes
}

fn oneshot_by(run: fn(mpsc::Receiver<Letter>, mpsc::Sender<Letter>, u64) -> f64, n: u64) -> f64 {
    let (letters, post) = mpsc::channel(BATCH as usize);
    run(post, letters, n)
}

fn mpsc_pair() -> ((mpsc::Sender<u64>, mpsc::Receiver<u64>), (mpsc::Sender<u64>, mpsc::Receiver<u64>)) {
    (mpsc::channel(BATCH as usize), mpsc::channel(BATCH as usize))
}

fn row(name: &str) -> Option<f64> {
    Some(match name {
        "spawn-join" => in_one(spawn_join()),
        "spawn-join-64" => in_one(spawn_join_64()),
        "yield" => in_one(yield_64()),
        "await-ready" => in_one(await_ready()),
        "oneshot-one" => oneshot_by(
            |post, letters, n| in_one(spawned(oneshot_echo(post), oneshot_ask(letters, n))),
            100_000,
        ),
        "oneshot-two" => oneshot_by(
            |post, letters, n| beside(oneshot_echo(post), oneshot_ask(letters, n)),
            20_000,
        ),
        "oneshot-workers" => oneshot_by(
            |post, letters, n| in_workers(oneshot_echo(post), oneshot_ask(letters, n)),
            20_000,
        ),
        "mpsc-one" => {
            let ((out, taken), (back, home)) = mpsc_pair();
            in_one(spawned(mpsc_echo(taken, back), mpsc_ask(out, home, 100_000)))
        }
        "mpsc-two" => {
            let ((out, taken), (back, home)) = mpsc_pair();
            beside(mpsc_echo(taken, back), mpsc_ask(out, home, 20_000))
        }
        "mpsc-workers" => {
            let ((out, taken), (back, home)) = mpsc_pair();
            in_workers(mpsc_echo(taken, back), mpsc_ask(out, home, 20_000))
        }
        "mpsc-flow-one" => {
            let (out, home) = mpsc::channel(BATCH as usize);
            in_one(spawned(mpsc_pour(out, 500_000), mpsc_drain(home)))
        }
        "mpsc-flow-two" => {
            let (out, home) = mpsc::channel(BATCH as usize);
            beside(mpsc_pour(out, 500_000), mpsc_drain(home))
        }
        "mpsc-flow-workers" => {
            let (out, home) = mpsc::channel(BATCH as usize);
            in_workers(mpsc_pour(out, 500_000), mpsc_drain(home))
        }
        "mutex" => in_one(mutex_alone()),
        "mutex-contended" => in_one(mutex_contended()),
        "timers" => in_one(timers()),
        "sleeps-due" => in_one(sleeps_due()),
        "interval-late" => in_one(interval_late()),
        "start" => start(),
        "block-on" => block_on(),
        "parked" => in_one(parked()),
        _ => return None,
    })
}

const ROWS: &[&str] = &[
    "spawn-join", "spawn-join-64", "yield", "await-ready", "oneshot-one", "oneshot-two",
    "oneshot-workers", "mpsc-one", "mpsc-two", "mpsc-workers", "mpsc-flow-one", "mpsc-flow-two",
    "mpsc-flow-workers", "mutex", "mutex-contended", "timers", "sleeps-due", "interval-late",
    "start", "block-on", "parked",
];

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        println!("{}", ROWS.join("\n"));
    }
    for name in names {
        match row(&name) {
            Some(value) => println!("{name} {value:.3}"),
            None => {
                eprintln!("tokio_rows: no row is called {name}");
                std::process::exit(2);
            }
        }
    }
}
