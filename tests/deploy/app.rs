//! The app of the pod: HTTP/1.1 on localhost, with the standard library alone, so that it runs in an empty image.
//!
//! Says on standard output what reaches it, one line a request, and answers 200. A JSON body with `"wait_ms": N` is
//! answered so much later. On SIGTERM it no longer listens, finishes what runs, and exits, as a Node.js server does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

static STOPPING: AtomicBool = AtomicBool::new(false);
static RUNNING: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
}

extern "C" fn stop(_number: i32) {
    STOPPING.store(true, SeqCst);
}

fn main() {
    const SIGTERM: i32 = 15;
    // Safety: the handler only sets a flag.
    unsafe { signal(SIGTERM, stop) };
    let listener = TcpListener::bind(("localhost", 3000)).unwrap();
    listener.set_nonblocking(true).unwrap();
    println!("listening");
    while !STOPPING.load(SeqCst) {
        match listener.accept() {
            Ok((stream, _)) => drop(std::thread::spawn(move || serve(stream))),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    drop(listener);
    println!("stopping");
    while RUNNING.load(SeqCst) > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("stopped");
}

fn serve(stream: TcpStream) {
    stream.set_nonblocking(false).unwrap();
    let mut reader = BufReader::new(stream);
    // One request a connection, so that after SIGTERM there is none left over which another could come.
    if let Some((request, id, length)) = head(&mut reader) {
        RUNNING.fetch_add(1, SeqCst);
        let mut body = vec![0; length];
        let whole = reader.read_exact(&mut body).is_ok();
        println!("begun {request} {id}");
        if whole {
            std::thread::sleep(Duration::from_millis(wait_ms(&String::from_utf8_lossy(&body))));
            println!("ended {request} {id}");
            let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n");
        }
        RUNNING.fetch_sub(1, SeqCst);
    }
}

/// Method and path, the delivery's id, the body's length.
fn head(reader: &mut impl BufRead) -> Option<(String, String, usize)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (request, _) = line.trim_end().rsplit_once(' ')?;
    let (request, mut id, mut length) = (request.to_owned(), "-".to_owned(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "svix-id" => id = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    Some((request, id, length))
}

fn wait_ms(body: &str) -> u64 {
    let Some((_, after)) = body.split_once("\"wait_ms\": ") else { return 0 };
    after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}
