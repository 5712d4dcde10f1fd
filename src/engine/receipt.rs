//! What a delivery answers: a receipt, or why there is none.

use std::error::Error as StdError;
use std::fmt;

use super::failure::{BoxError, chain};

/// The receiver's word that it has the output, kept with the run.
///
/// ```
/// use mainspring::Receipt;
///
/// assert_eq!(Receipt::new(4711).as_str(), Some("4711"));
/// assert_eq!(Receipt::from("250 OK").as_str(), Some("250 OK"));
/// assert_eq!(Receipt::none().as_str(), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt(Option<String>);

impl Receipt {
    /// A receipt without a text.
    pub const fn none() -> Self {
        Self(None)
    }

    /// A receipt that names what the receiver answered: a message id, a status line. It is cut at
    /// [`Limits::text`](crate::Limits::text).
    pub fn new(answer: impl fmt::Display) -> Self {
        Self(Some(answer.to_string()))
    }

    /// Its text.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(super) fn into_text(self) -> Option<String> {
        self.0
    }
}

impl From<()> for Receipt {
    fn from((): ()) -> Self {
        Self::none()
    }
}

impl From<String> for Receipt {
    fn from(answer: String) -> Self {
        Self(Some(answer))
    }
}

impl From<&str> for Receipt {
    fn from(answer: &str) -> Self {
        Self::new(answer)
    }
}

/// Why a delivery has no receipt, in the three cases that must be told apart.
///
/// `?` turns every error into [`unknown`](Self::unknown): a connection that broke may have broken after the
/// receiver took the output, and only the sender can know that it did not. Say
/// [`not_sent`](Self::not_sent) where that is certain.
///
/// ```
/// use mainspring::{DeliveryError, Receipt};
///
/// fn post(status: u16) -> Result<Receipt, DeliveryError> {
///     match status {
///         200 => Ok(Receipt::new(status)),
///         429 | 503 => Err(DeliveryError::not_sent(format!("status {status}"))),
///         400..=499 => Err(DeliveryError::rejected(format!("status {status}"))),
///         _ => Err(DeliveryError::unknown(format!("status {status}"))),
///     }
/// }
/// assert_eq!(post(400).unwrap_err().to_string(), "status 400");
/// ```
pub struct DeliveryError {
    kind: Undelivered,
    text: String,
}

/// What is known of an output that has no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// It was not sent; it is worth another attempt.
    NotSent,
    /// It will never be taken.
    Rejected,
    /// It may or may not have arrived.
    Unknown,
}

impl DeliveryError {
    /// It was certainly not taken, and may be on another attempt: tried again with the job's delivery backoff
    /// while there are delivery attempts left.
    pub fn not_sent(why: impl Into<BoxError>) -> Self {
        Self { kind: Undelivered::NotSent, text: chain(&*why.into()) }
    }

    /// It will never be taken: not tried again.
    pub fn rejected(why: impl Into<BoxError>) -> Self {
        Self { kind: Undelivered::Rejected, text: chain(&*why.into()) }
    }

    /// It may or may not have arrived; [`OnUnknownDelivery`](crate::OnUnknownDelivery) decides what happens.
    pub fn unknown(why: impl Into<BoxError>) -> Self {
        Self { kind: Undelivered::Unknown, text: chain(&*why.into()) }
    }

    pub(super) fn kind(&self) -> Undelivered {
        self.kind
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for DeliveryError {
    fn from(error: E) -> Self {
        Self::unknown(error)
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_error_is_unknown_because_it_may_have_been_sent() {
        // D9.2
        let attempt = || -> Result<Receipt, DeliveryError> {
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))?;
            Ok(Receipt::none())
        };
        assert_eq!(attempt().unwrap_err().kind(), Undelivered::Unknown);
    }

    #[test]
    fn a_receipt_comes_from_nothing_a_text_or_what_can_be_shown() {
        assert_eq!(Receipt::from(()), Receipt::none());
        assert_eq!(Receipt::from(String::from("id 7")), Receipt::new("id 7"));
        assert_eq!(Receipt::new(7).into_text().as_deref(), Some("7"));
    }
}
