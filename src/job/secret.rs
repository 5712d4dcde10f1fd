//! Payloads as people may see them in passing: in the Debug of a job or a run, and so in whatever an application logs.

use std::fmt;

use serde_json::Value;

use crate::brief::Brief;

/// What the value of a key that looks like a secret is shown as.
const HIDDEN: &str = "(hidden)";
/// A key looks like a secret if it holds one of these, in any case and with `-` or no sign for `_`.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "authentication",
    "cookie",
    "credential",
    "bearer",
    "session",
    "signature",
    "connectionstring",
    "pincode",
];
/// A payload longer than this is not looked through to be shown.
const LONGEST: usize = 16 << 10;

/// Shows a payload: without the values of keys that look like secrets, and cut. What is no JSON, and so cannot be looked
/// through, is shown by its length alone.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parsed = if self.0.len() <= LONGEST { serde_json::from_str::<Value>(self.0).ok() } else { None };
        match parsed {
            Some(mut value) => {
                hide(&mut value);
                write!(f, "{}", Brief(value))
            }
            None => write!(f, "({} bytes)", self.0.len()),
        }
    }
}

/// Stands for a text of so many bytes that is not shown.
pub(crate) struct Hidden(pub(crate) usize);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0)
    }
}

/// serde_json has read the value, so that it is no deeper than 127 levels.
fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if looks_like_a_secret(key) { *member = Value::from(HIDDEN) } else { hide(member) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

fn looks_like_a_secret(key: &str) -> bool {
    let plain: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    SECRETS.iter().any(|secret| plain.contains(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        format!("{:?}", Shown(text))
    }

    #[test]
    fn values_of_keys_that_look_like_secrets_are_hidden_wherever_they_stand() {
        for key in [
            "password",
            "dbPassword",
            "API_KEY",
            "api-key",
            "Authorization",
            "access_token",
            "Set-Cookie",
            "client secret",
        ] {
            let text = format!("{{\"to\":\"Ada\",\"deep\":[{{\"{key}\":{{\"a\":\"hunter2\"}}}}]}}");
            assert_eq!(shown(&text), format!("{{\"deep\":[{{\"{key}\":\"(hidden)\"}}],\"to\":\"Ada\"}}"));
        }
        assert_eq!(
            shown("{\"author\":\"Ada\",\"keys\":88,\"top\":1}"),
            "{\"author\":\"Ada\",\"keys\":88,\"top\":1}"
        );
    }

    #[test]
    fn what_is_long_is_cut_and_what_is_no_json_is_counted() {
        assert_eq!(shown("\"hunter2"), "(8 bytes)");
        assert_eq!(shown(&format!("\"{}\"", "x".repeat(20_000))), "(20002 bytes)");
        assert!(shown(&format!("\"{}\"", "x".repeat(2_000))).len() < 500);
    }
}
