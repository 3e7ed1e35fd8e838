//! tokio_echo PORT SHARDS - sends back what it receives.
//!
//! A current-thread runtime per shard, each with a listener of its own (SO_REUSEPORT); a task per
//! connection, with a buffer as big as the one of weir-echo.
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const BUFFER: usize = 4096;

async fn serve(mut stream: TcpStream) {
    let mut data = [0u8; BUFFER];
    loop {
        match stream.read(&mut data).await {
            Ok(n) if n > 0 => {
                if stream.write_all(&data[..n]).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    socket.listen(4096)
}

async fn accept(port: u16) -> std::io::Result<()> {
    let listener = listen(port)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream));
            }
            // Out of descriptors, most likely: some will be given back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn shard(port: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // In a task of its own: to wake the future of block_on itself is a system call.
    let ended = runtime.block_on(async move { tokio::spawn(accept(port)).await.unwrap() });
    if let Err(error) = ended {
        eprintln!("tokio_echo: {error}");
        std::process::exit(1);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() != 3 {
        eprintln!("usage: tokio_echo PORT SHARDS");
        std::process::exit(2);
    }
    let port: u16 = args[1].parse().expect("PORT is a number");
    let shards: usize = args[2].parse().expect("SHARDS is a number");
    let others: Vec<_> = (1..shards).map(|_| std::thread::spawn(move || shard(port))).collect();
    shard(port);
    for other in others {
        other.join().unwrap();
    }
}
