//! Routing without an engine.

use asya_envelope::{ActorName, Envelope, Headers, Limits, Raw, Route, headers};
use asya_handler::Item;
use asya_telemetry::TraceContext;
use bytes::Bytes;

use super::{Addressed, Kind, Router};
use crate::EngineConfig;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn config() -> EngineConfig {
    EngineConfig::new(ActorName::parse("b").unwrap())
}

fn input() -> Envelope {
    let route = Route { current: 1, ..Route::new(["a", "b", "c"]) };
    Envelope::new("id", route, Raw::of(&"in"))
}

fn item(payload: &str) -> Item {
    Item::payload(Raw::of(&payload))
}

fn decoded(message: &Addressed) -> Envelope {
    Envelope::parse(message.outgoing.body.clone()).unwrap()
}

/// The messages of these items, decoded, with the names of their queues.
fn routed(config: &EngineConfig, items: Vec<Item>) -> Result<Vec<(String, Envelope)>, &'static str> {
    let input = input();
    let mut router = Router::new(config, &input, 1, None);
    let messages = router.items(items).map_err(|refusal| refusal.code)?;
    Ok(messages.iter().map(|m| (m.outgoing.queue.to_string(), decoded(m))).collect())
}

fn with_route(actors: &[&str], current: usize) -> Item {
    Item { route: Some(Route { current, ..Route::new(actors.iter().copied()) }), ..item("x") }
}

#[test]
fn items_1_and_later_come_before_item_0() {
    let messages = routed(&config(), vec![item("0"), item("1"), item("2")]).unwrap();
    let ids: Vec<_> = messages.iter().map(|(_, envelope)| envelope.id.as_str()).collect();
    assert_eq!(ids, ["id-1", "id-2", "id"]);
    assert!(messages.iter().all(|(queue, envelope)| queue == "asya-c" && envelope.route.current == 2));
}

#[test]
fn a_route_that_ends_goes_to_happy_end_by_the_configured_name_and_namespace() {
    let config = EngineConfig {
        happy_end: "done".to_owned(),
        naming: asya_envelope::Naming::namespaced("team"),
        ..config()
    };
    let messages = routed(&config, vec![with_route(&["a", "b"], 2)]).unwrap();
    assert_eq!(messages[0].0, "asya-team-done");
}

#[test]
fn going_back_is_allowed_and_bounded_by_hops() {
    let messages = routed(&config(), vec![with_route(&["a", "b", "c"], 0)]).unwrap();
    assert_eq!((messages[0].0.as_str(), messages[0].1.headers.get_u64(headers::HOPS)), ("asya-a", Some(1)));
}

#[test]
fn actors_ahead_may_be_removed_and_reordered_whatever_is_allowed_to_be_inserted() {
    let config = EngineConfig { allowed_routes: Vec::new(), ..config() };
    assert!(routed(&config, vec![with_route(&["a", "b"], 2)]).is_ok());
    assert_eq!(routed(&config, vec![with_route(&["a", "b", "d"], 2)]), Err("route_not_allowed"));
}

#[test]
fn a_result_may_be_as_large_as_an_error_envelope_can_still_carry() {
    let limits = Limits { max_envelope: 64 * 1024, ..Limits::default() };
    let config = EngineConfig { limits, ..config() };
    let overhead = routed(&config, vec![item("")]).unwrap()[0].1.encode().len();
    let fits = limits.publishable() - overhead;
    assert!(routed(&config, vec![item(&"x".repeat(fits))]).is_ok());
    assert_eq!(routed(&config, vec![item(&"x".repeat(fits + 1))]), Err("too_large"));
}

#[test]
fn the_trace_goes_on_in_the_same_trace_whatever_the_handler_does_to_it() {
    let mut input = input();
    input.headers.set(headers::TRACEPARENT, Raw::of(&TRACE));
    input.headers.set(headers::TRACESTATE, Raw::of(&"vendor=1"));
    let trace = TraceContext::parse(TRACE).unwrap().child(7);
    let mut router = Router::new(&config(), &input, 3, Some(trace)).headers_of(Headers::default());
    assert_eq!(router.get_text(headers::TRACEPARENT).unwrap(), trace.to_string());
    assert_eq!(router.get_text(headers::TRACESTATE).unwrap(), "vendor=1");
    assert_eq!(router.remove(headers::ATTEMPT).unwrap().as_str(), "3");
}

impl Router<'_> {
    /// The headers that go out when the handler returns these.
    fn headers_of(mut self, returned: Headers) -> Headers {
        let item = Item { headers: Some(returned), ..item("x") };
        decoded(&self.item(item, 0, Some(1)).unwrap()).headers
    }
}

#[test]
fn an_empty_answer_sends_the_input_as_it_is_to_happy_end() {
    let input = input();
    let message = Router::new(&config(), &input, 1, None).nothing().unwrap();
    assert_eq!(message.kind, Kind::HappyEnd);
    let sent = decoded(&message);
    assert_eq!((&sent.payload, &sent.route), (&input.payload, &input.route));
}

#[test]
fn what_the_engine_does_not_understand_passes_byte_for_byte() {
    let body = Bytes::from_static(
        br#"{"id":"1","route":{"actors":["b","c"],"current":0,"x":1.0},"headers":{"h":1e400},"payload":0,"z":[1.50]}"#,
    );
    let input = Envelope::parse(body).unwrap();
    let config = config();
    let mut router = Router::new(&config, &input, 1, None);
    let payload = Raw::parse(Bytes::from_static(b"{\"n\" : 12345678901234567890123}")).unwrap();
    let message = router.item(Item::payload(payload), 0, Some(1)).unwrap();
    let text = String::from_utf8(message.outgoing.body.to_vec()).unwrap();
    for part in [r#""x":1.0"#, r#""h":1e400"#, r#"{"n" : 12345678901234567890123}"#, r#""z":[1.50]"#] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
