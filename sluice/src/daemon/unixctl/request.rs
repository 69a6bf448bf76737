//! JSON-RPC, as far as the control socket uses it.
//!
//! Purpose: requests out of a stream of bytes, and answers as text.
//! Invariant: a stream that is no sequence of requests is an error, never a wait without end; nested
//! values are bounded by the parser's own limit.
//! Deliberately does not know: sockets.

use serde_json::Value;

/// A request.
#[derive(Debug, PartialEq)]
pub struct Request {
    id: Value,
    /// The command.
    pub method: String,
    /// Its arguments.
    pub params: Vec<String>,
}

/// The first request of some bytes and how many of them it took; `None` when it is not complete.
pub fn take(bytes: &[u8]) -> Result<Option<(Request, usize)>, String> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    match values.next() {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some((request(value)?, values.byte_offset()))),
        Some(Err(e)) if e.is_eof() => Ok(None),
        Some(Err(e)) => Err(format!("not JSON: {e}")),
    }
}

fn request(value: Value) -> Result<Request, String> {
    let Value::Object(mut members) = value else { return Err("not a JSON-RPC message".to_string()) };
    let (Some(Value::String(method)), Some(id)) = (members.remove("method"), members.remove("id")) else {
        return Err("not a JSON-RPC request".to_string());
    };
    let params = match members.remove("params") {
        Some(Value::Array(params)) => params,
        _ => return Err("a request without params".to_string()),
    };
    let word = |v: Value| match v {
        Value::String(word) => Ok(word),
        other => Err(format!("the parameter {other} is no string")),
    };
    Ok(Request { id, method, params: params.into_iter().map(word).collect::<Result<_, _>>()? })
}

/// The answer to a request.
pub fn answer(request: &Request, result: &Result<String, String>) -> String {
    let text = |t: &String| {
        let mut t = t.clone();
        if !t.is_empty() && !t.ends_with('\n') {
            t.push('\n');
        }
        Value::String(t)
    };
    let (result, error) = match result {
        Ok(t) => (text(t), Value::Null),
        Err(t) => (Value::Null, text(t)),
    };
    serde_json::json!({ "id": request.id, "result": result, "error": error }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_taken_when_it_is_complete() {
        let bytes = br#"{"id":7,"method":"fdb/show","params":["br0"]}{"id""#;
        for n in 0..bytes.len() - 5 {
            assert_eq!(take(&bytes[..n]), Ok(None), "{n}");
        }
        let (request, used) = take(bytes).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.params.len(), used), ("fdb/show", 1, bytes.len() - 5));
        assert_eq!(answer(&request, &Ok("a".into())), r#"{"error":null,"id":7,"result":"a\n"}"#);
        assert_eq!(answer(&request, &Err("b\n".into())), r#"{"error":"b\n","id":7,"result":null}"#);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["[1]", "nonsense", r#"{"id":1}"#, r#"{"id":1,"method":"x","params":[3]}"#, r#"{"id":1,"method":"x"}"#] {
            assert!(take(text.as_bytes()).is_err(), "{text}");
        }
        assert!(take("[".repeat(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_refused_or_incomplete(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, used))) = take(&bytes) {
                prop_assert!(used <= bytes.len());
            }
        }
    }
}
