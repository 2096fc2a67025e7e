//! Files that `explain` reads a request from, in all shapes.
//!
//! A request that was read is written as a raw message and read again: it must be the same.

use hookward::capture::{Captured, Shape, read};

pub fn run(data: &[u8]) {
    match read(data) {
        Err(problem) => {
            let text = problem.to_string();
            assert!(!text.is_empty());
            assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
        }
        Ok(captured) => {
            assert!(captured.target.starts_with('/') || captured.target == "*", "{:?}", captured.target);
            for note in &captured.notes {
                let text = note.to_string();
                assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
            }
            assert!(!captured.shape.as_str().is_empty());
            again(&captured);
        }
    }
}

fn again(captured: &Captured) {
    // A first line with another method is no sign of a raw message: text of the body may make another shape of it.
    let method = captured.method.as_str();
    if !(3..=20).contains(&method.len()) || !method.bytes().all(|letter| letter.is_ascii_uppercase()) {
        return;
    }
    let mut raw = format!("{} {} HTTP/1.1\r\n", captured.method, captured.target).into_bytes();
    for (name, value) in &captured.headers {
        if !["content-length", "transfer-encoding"].contains(&name.as_str()) {
            raw.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
    }
    raw.extend(format!("content-length: {}\r\n\r\n", captured.body.len()).into_bytes());
    raw.extend(&captured.body);
    if raw.len() > 16 << 20 {
        return;
    }
    let second = read(&raw).unwrap_or_else(|problem| panic!("{problem}: {:?}", String::from_utf8_lossy(&raw)));
    assert_eq!(second.shape, Shape::Raw);
    assert_eq!((&second.method, &second.target), (&captured.method, &captured.target));
    assert_eq!(second.body, captured.body);
    for name in captured.headers.keys().filter(|name| !["content-length", "transfer-encoding"].contains(&name.as_str()))
    {
        let values = |captured: &Captured| -> Vec<Vec<u8>> {
            captured.headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii().to_vec()).collect()
        };
        assert_eq!(values(&second), values(captured), "{name}");
    }
}
