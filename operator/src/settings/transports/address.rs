//! Addresses with credentials in them.

use super::Rabbitmq;

/// The AMQP address of a broker for a user; any name and password work.
pub fn amqp(rabbitmq: &Rabbitmq, username: &str, password: &str) -> String {
    format!(
        "{}://{}:{}@{}:{}/{}",
        if rabbitmq.tls { "amqps" } else { "amqp" },
        escaped(username),
        escaped(password),
        bracketed(&rabbitmq.host),
        rabbitmq.port,
        if rabbitmq.vhost == "/" { String::new() } else { escaped(&rabbitmq.vhost) },
    )
}

/// The address of the management API for a user, with the vhost as its path, as KEDA takes it; `None` = there is no
/// such API.
pub fn management(rabbitmq: &Rabbitmq, username: &str, password: &str) -> Option<String> {
    let (scheme, rest) = rabbitmq.management_url.as_deref()?.split_once("://")?;
    Some(format!(
        "{scheme}://{}:{}@{rest}/{}",
        escaped(username),
        escaped(password),
        escaped(&rabbitmq.vhost)
    ))
}

/// Percent-encoded for a part of an address.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker() -> Rabbitmq {
        Rabbitmq {
            host: "broker".to_owned(),
            port: 5671,
            vhost: "a/b".to_owned(),
            tls: true,
            username: "guest".to_owned(),
            password: None,
            exchange: "asya".to_owned(),
            management_url: Some("https://broker:15671".to_owned()),
            management_password: None,
            per_namespace_users: false,
            dead_letters: true,
        }
    }

    #[test]
    fn any_user_password_and_vhost_work() {
        let broker = broker();
        assert_eq!(amqp(&broker, "u", "p@ss/w:rd"), "amqps://u:p%40ss%2Fw%3Ard@broker:5671/a%2Fb");
        assert_eq!(management(&broker, "u", "p@").unwrap(), "https://u:p%40@broker:15671/a%2Fb");
        let plain = Rabbitmq { vhost: "/".to_owned(), tls: false, host: "::1".to_owned(), ..broker };
        assert_eq!(amqp(&plain, "u", "p"), "amqp://u:p@[::1]:5671/");
        assert_eq!(management(&plain, "u", "p").unwrap(), "https://u:p@broker:15671/%2F");
    }
}
