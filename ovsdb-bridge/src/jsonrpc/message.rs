//! The three kinds of messages.

use serde_json::{json, Map, Value};

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Wants an answer.
    Request {
        /// What is asked for.
        method: String,
        /// With which parameters.
        params: Value,
        /// Comes back with the answer.
        id: Value,
    },
    /// Wants none.
    Notification {
        /// What happened.
        method: String,
        /// To what.
        params: Value,
    },
    /// Answers a request.
    Reply {
        /// The request's.
        id: Value,
        /// The answer, or why there is none.
        result: Result<Value, Value>,
    },
}

impl Message {
    /// Tells the kinds apart.
    pub fn read(value: Value) -> Result<Message, String> {
        let Value::Object(mut object) = value else {
            return Err("a message is not an object".to_string());
        };
        let id = object.remove("id").unwrap_or(Value::Null);
        match object.remove("method") {
            Some(Value::String(method)) => {
                let params = object.remove("params").unwrap_or(Value::Null);
                Ok(match id {
                    Value::Null => Message::Notification { method, params },
                    id => Message::Request { method, params, id },
                })
            }
            None | Some(Value::Null) => answer(id, &mut object),
            Some(other) => Err(format!("the method of a message is {other}, not a string")),
        }
    }
}

fn answer(id: Value, object: &mut Map<String, Value>) -> Result<Message, String> {
    match (object.remove("result"), object.remove("error")) {
        (None, None) => Err("a message has no method, result or error".to_string()),
        (result, None | Some(Value::Null)) => Ok(Message::Reply { id, result: Ok(result.unwrap_or(Value::Null)) }),
        (_, Some(error)) => Ok(Message::Reply { id, result: Err(error) }),
    }
}

/// A request, as bytes.
pub fn request(method: &str, params: Value, id: u64) -> Vec<u8> {
    json!({ "id": id, "method": method, "params": params }).to_string().into_bytes()
}

/// An answer, as bytes.
pub fn reply(id: &Value, result: Value) -> Vec<u8> {
    json!({ "id": id, "result": result, "error": null }).to_string().into_bytes()
}

/// A notification, as bytes.
pub fn notification(method: &str, params: Value) -> Vec<u8> {
    json!({ "id": null, "method": method, "params": params }).to_string().into_bytes()
}
