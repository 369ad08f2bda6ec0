//! A line with a delay: takes TCP connections and hands each byte on, in both directions, a fixed time after it came in.
//! Order is kept and bandwidth unlimited. Threads that sleep do this, since an asynchronous runtime's timer counts whole
//! milliseconds. The TCP handshake itself is not delayed. Listens on 127.0.0.1 only.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Starts a line to `server`, whose bytes take `one_way` in each direction, and returns where it begins. It lasts as long
/// as the process.
///
/// # Panics
/// If there is no free port.
#[expect(clippy::expect_used, reason = "a benchmark without its line cannot go on")]
pub fn line_to(server: SocketAddr, one_way: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
    let address = listener.local_addr().expect("read the bound address");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that cannot be connected sees its connection close.
            drop(connect(client, server, one_way));
        }
    });
    address
}

fn connect(client: TcpStream, server: SocketAddr, one_way: Duration) -> std::io::Result<()> {
    let server = TcpStream::connect(server)?;
    for end in [&client, &server] {
        end.set_nodelay(true)?;
    }
    carry(client.try_clone()?, server.try_clone()?, one_way);
    carry(server, client, one_way);
    Ok(())
}

/// One direction: one thread notes when bytes came, the other waits until they are due.
fn carry(mut from: TcpStream, mut to: TcpStream, one_way: Duration) {
    let (under_way, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default().to_vec();
            if under_way.send((Instant::now() + one_way, bytes)).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in arriving {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        // The end of the stream travels behind its last byte.
        drop(to.shutdown(Shutdown::Write));
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_late_in_order_and_the_end_behind_them() {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let one_way = Duration::from_millis(30);
        let line = line_to(echo.local_addr().unwrap(), one_way);
        thread::spawn(move || {
            let (mut stream, _) = echo.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let mut client = TcpStream::connect(line).unwrap();
        let sent: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let start = Instant::now();
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
        assert!(start.elapsed() >= 2 * one_way, "{:?}", start.elapsed());
    }
}
