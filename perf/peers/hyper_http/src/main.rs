//! hyper_http PORT SHARDS SERVER - an HTTP/1.1 server on hyper.
//!
//! A current-thread runtime per shard, each with a listener of its own (SO_REUSEPORT): no task ever
//! moves between threads, which is how hyper is set up where it has to be fast.  Pipelined answers are
//! flushed together.
use hyper::body::Bytes;
use hyper::header::{HeaderValue, CONNECTION, CONTENT_TYPE, SERVER};
use hyper::server::conn::Http;
use hyper::service::service_fn;
use hyper::{Body, Request, Response, StatusCode};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

const BULK_BYTES: usize = 1 << 20;

/// What the answers are made of; made once, and shared without counting.
struct Site {
    server: HeaderValue,
    text: HeaderValue,
    bytes: HeaderValue,
    bulk: Bytes,
}

fn reply(site: &Site, status: StatusCode, kind: &HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(SERVER, site.server.clone());
    headers.insert(CONTENT_TYPE, kind.clone());
    response
}

async fn answer(site: &'static Site, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = match request.uri().path() {
        "/plaintext" => reply(site, StatusCode::OK, &site.text, Body::from("Hello, World!")),
        "/bytes/1048576" => reply(site, StatusCode::OK, &site.bytes, Body::from(site.bulk.clone())),
        _ => reply(site, StatusCode::NOT_FOUND, &site.text, Body::from("not found\n")),
    };
    // hyper closes when it is asked to; that it will, it leaves to us to say.
    if request.headers().get(CONNECTION).map_or(false, |value| value == "close") {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    socket.listen(4096)
}

async fn serve(port: u16, site: &'static Site) -> std::io::Result<()> {
    let listener = listen(port)?;
    let mut http = Http::new();
    http.http1_only(true).pipeline_flush(true);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of descriptors, most likely: some will be given back.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request| answer(site, request));
        let connection = http.serve_connection(stream, service);
        // That a client has gone is not worth a word.
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
}

fn shard(port: u16, site: &'static Site) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // In a task of its own: to wake the future of block_on itself is a system call.
    let ended = runtime.block_on(async move { tokio::spawn(serve(port, site)).await.unwrap() });
    if let Err(error) = ended {
        eprintln!("hyper_http: {error}");
        std::process::exit(1);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() != 4 {
        eprintln!("usage: hyper_http PORT SHARDS SERVER");
        std::process::exit(2);
    }
    let port: u16 = args[1].parse().expect("PORT is a number");
    let shards: usize = args[2].parse().expect("SHARDS is a number");
    let bulk: Vec<u8> = (b'a'..=b'z').cycle().take(BULK_BYTES).collect();
    let site: &'static Site = Box::leak(Box::new(Site {
        server: HeaderValue::from_str(&args[3]).expect("SERVER is a field value"),
        text: HeaderValue::from_static("text/plain"),
        bytes: HeaderValue::from_static("application/octet-stream"),
        bulk: Bytes::from_static(Box::leak(bulk.into_boxed_slice())),
    }));
    let others: Vec<_> =
        (1..shards).map(|_| std::thread::spawn(move || shard(port, site))).collect();
    shard(port, site);
    for other in others {
        other.join().unwrap();
    }
}
