//! Who gets in, and for how long.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    auth::{Admission, Ground, Principal, Role, Roles},
    service::tests::world,
    ws::{
        door::{ASYA_V0, TICKET},
        tickets::Tickets,
    },
};

#[tokio::test]
async fn a_ticket_lets_in_once_and_is_told_nobody() {
    let house = House::new(world().await, Kind::default()).await;
    let ticket = house.ticket("anna").await;
    for form in [ASYA_V1, ASYA_V0] {
        let alone = house.dial("/ws/", &[("sec-websocket-protocol", &ticket)]).await.err().unwrap();
        assert!(alone.0 == 400 && alone.1.contains(ASYA_V1), "{alone:?}");
        let ticket = house.ticket("anna").await;
        let offer = format!("{ticket}, {form}, other");
        let mut socket = house.dial("/ws/", &[("sec-websocket-protocol", &offer)]).await.unwrap();
        assert_eq!(socket.form, form, "the ticket is not said again");
        socket.is_there().await;
        let again = house.dial("/ws/", &[("sec-websocket-protocol", &offer)]).await.err().unwrap();
        let secret = ticket.strip_prefix(TICKET).unwrap();
        assert!(again.0 == 401 && !again.1.contains(secret), "{again:?}");
    }
    let offer = format!("{ASYA_V1}, {ticket}");
    let mut socket = house.dial("/ws/", &[("sec-websocket-protocol", &offer)]).await.unwrap();
    assert_eq!(
        socket.next().await["data"],
        json!({"who": "anna", "roles": ["chat"]}),
        "a wrong offer used none"
    );
    for (who, status) in [("carl", 201), ("emil", 201), ("dora", 403), ("nobody", 401)] {
        assert_eq!(house.ask(who, "POST /api/v1/ws-tickets").await.0, status, "{who}");
    }
}

#[tokio::test]
async fn who_may_not_come_is_told_why_before_there_is_a_socket() {
    let house = House::new(world().await, Kind::default()).await;
    let bearer = |who: &str| format!("Bearer {}", token(who));
    let (anna, dora, emil, wrong) = (bearer("anna"), bearer("dora"), bearer("emil"), bearer("none"));
    let as_ = |who| ("authorization", who);
    let form = |form| ("sec-websocket-protocol", form);
    for (path, headers, status, says) in [
        ("/ws/", vec![], 401, "credentials"),
        ("/ws/", vec![as_(wrong.as_str())], 401, "not known"),
        ("/ws/", vec![form("asya.v1, asya.ticket.1767225600000.x")], 401, "ticket"),
        ("/ws/", vec![as_(&anna), form("asya.v9")], 400, "asya.v1"),
        ("/ws/", vec![as_(&dora)], 403, "Chat"),
        ("/ws/", vec![as_(&dora), form("asya.v1")], 403, "Chat"),
        ("/ws/", vec![as_(&emil), form("asya.v0")], 403, "Chat"),
        ("/ws/", vec![as_(&anna), ("origin", "https://evil.example")], 403, "evil.example"),
        ("/ws/?session=s-1", vec![as_(&anna), form("asya.v1")], 400, "by messages"),
        ("/ws/?token=secret", vec![as_(&anna)], 400, "token"),
        ("/ws/?from=0", vec![as_(&anna)], 400, "from 1 on"),
    ] {
        let (given, text) = house.dial(path, &headers).await.err().unwrap_or_default();
        assert_eq!(given, status, "{path} {headers:?}: {text}");
        assert!(text.contains(says), "{path} {headers:?}: {text}");
    }
    assert_eq!(house.ask("anna", "GET /ws/").await.0, 426);
    let own = format!("http://{}", house.address);
    for origin in [own.as_str(), "https://listed.example"] {
        house.dial("/ws", &[as_(&anna), ("origin", origin)]).await.unwrap().is_there().await;
    }
    house.dial("/ws/", &[as_(&emil), form("asya.v1")]).await.unwrap().is_there().await;
}

#[tokio::test]
async fn nobody_is_asked_on_loopback_only() {
    let house = House::new(world().await, Kind { open: true, ..Kind::default() }).await;
    let refused = house.dial("/ws/", &[]).await.err().unwrap();
    assert!(refused.0 == 403 && refused.1.contains("this machine"), "{refused:?}");
    let house = House::new(world().await, Kind { open: true, loopback: true, ..Kind::default() }).await;
    let mut socket = house.dial("/ws/", &[("sec-websocket-protocol", ASYA_V1)]).await.unwrap();
    assert_eq!(socket.next().await["data"]["who"], "anonymous");
    // A page that always asks for a ticket first is let in too.
    let offer = format!("{ASYA_V1}, {}", house.ticket("anybody").await);
    house.dial("/ws/", &[("sec-websocket-protocol", &offer)]).await.unwrap().is_there().await;
    let page = [("origin", "https://evil.example")];
    assert_eq!(house.dial("/ws/", &page).await.err().unwrap().0, 403);
}

#[tokio::test]
async fn a_socket_ends_with_the_credentials_that_opened_it() {
    let house = House::new(world().await, Kind::default()).await;
    let (mut anna, mut benn) = (house.v1("anna").await, house.v1("benn").await);
    let offer = format!("{ASYA_V1}, {}", house.ticket("anna").await);
    let mut by_ticket = house.dial("/ws/", &[("sec-websocket-protocol", &offer)]).await.unwrap();
    let unused = format!("{ASYA_V1}, {}", house.ticket("anna").await);
    by_ticket.is_there().await;
    house.tokens.send_replace(tokens(&PEOPLE[1..]));
    for socket in [&mut anna, &mut by_ticket] {
        let (code, reason) = socket.closed().await;
        assert!(code == CloseCode::Policy && reason.contains("credentials"), "{code} {reason}");
    }
    assert_eq!(house.dial("/ws/", &[("sec-websocket-protocol", &unused)]).await.err().unwrap().0, 401);
    benn.is_there().await;
    // Other roles are other credentials.
    house.tokens.send_replace(tokens(&[("benn", "read")]));
    assert_eq!(benn.closed().await.0, CloseCode::Policy);
    // Those of an identity provider have an end of their own.
    let who = Principal::named("oidc:eve", Roles::from_iter([Role::Chat]));
    let until = |end| Admission { principal: who.clone(), ground: Ground::Until(end) };
    let tickets = Tickets::of(&house.world.service);
    let now = Timestamp::now();
    let soon = tickets.issue(&until(now + SignedDuration::from_secs(2)), now).await.unwrap();
    let past = tickets.issue(&until(now), now).await.unwrap();
    let offer = |text: &str| format!("{ASYA_V1}, {TICKET}{text}");
    let mut eve = house.dial("/ws/", &[("sec-websocket-protocol", &offer(&soon.text))]).await.unwrap();
    assert_eq!(eve.next().await["data"]["who"], "oidc:eve");
    assert_eq!(eve.closed().await.0, CloseCode::Policy);
    assert!(Timestamp::now() >= now + SignedDuration::from_secs(2));
    let past = house.dial("/ws/", &[("sec-websocket-protocol", &offer(&past.text))]).await.err().unwrap();
    assert_eq!(past.0, 401);
    house.counted("asya_gateway_sockets{form=\"asya.v1\"} 0").await;
    house.counted("asya_gateway_sockets_closed_total{form=\"asya.v1\",reason=\"credentials\"} 4").await;
}
