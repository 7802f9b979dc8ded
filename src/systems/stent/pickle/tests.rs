//! Pickles as Python writes them, and malformed bytes.

use proptest::prelude::*;

use super::*;

fn json(bytes: &[u8]) -> String {
    let pickle = Pickle::read(bytes).unwrap();
    let rendered = pickle.render(pickle.root(), 10_000);
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&rendered.json);
    assert!(parsed.is_ok(), "{} is no JSON: {parsed:?}", rendered.json);
    rendered.json
}

/// What `pickle.dumps` makes, as hexadecimal text.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[test]
fn plain_values() {
    // pickle.dumps(("order-1", 12.5)), protocol 4
    let pickled = hex("8004951700000000000000 8c076f726465722d31 94 4740290000000000 00 86 94 2e");
    assert_eq!(json(&pickled), r#"["order-1",12.5]"#);
    assert_eq!(json(b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bNu."), r#"{"a":1,"b":null}"#);
    assert_eq!(
        json(b"\x80\x02]q\x00(J\xff\xff\xff\xffM\xff\xff\x8a\x02\x00\x80\x88\x89e."),
        "[-1,65535,-32768,true,false]"
    );
    assert_eq!(json(b"(lp0\nI1\naI01\naL5L\naF2.5\naS'x'\na."), r#"[1,true,5,2.5,"x"]"#);
    assert_eq!(json(b"\x80\x03C\x02\x00\xff."), r#"{"__type__":"bytes","data":"AP8="}"#);
    assert_eq!(json(b"\x80\x04(K\x01K\x02\x91."), r#"{"__set__":[1,2]}"#);
    assert_eq!(json(b"\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."), "\"0x10000000000000000\"");
    assert_eq!(json(b"\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\xff."), "\"-0x10000000000000000\"");
    assert_eq!(json(b"\x80\x02G\x7f\xf8\x00\x00\x00\x00\x00\x00."), "\"NaN\"");
}

#[test]
fn keys_that_are_no_text() {
    assert_eq!(
        json(b"\x80\x02}(K\x01K\x02NK\x03\x88K\x04K\x01K\x02\x86K\x05u."),
        r#"{"1":2,"None":3,"True":4,"(1, 2)":5}"#
    );
}

#[test]
fn objects_are_described_and_never_made() {
    let evil = b"cos\nsystem\n(S'rm -rf /'\ntR.";
    assert_eq!(json(evil), r#"{"__class__":"os.system","args":["rm -rf /"]}"#);
    let error = b"\x80\x04\x8c\x08builtins\x94\x8c\x0aValueError\x94\x93\x94\x8c\x03bad\x94\x85\x94R\x94}\x94\x8c\x04code\x94K\x05sb.";
    assert_eq!(json(error), r#"{"__class__":"ValueError","args":["bad"],"state":{"code":5}}"#);
    let pickle = Pickle::read(error).unwrap();
    assert_eq!(pickle.class(pickle.root()), Some(("builtins", "ValueError")));
    assert_eq!(pickle.text(pickle.args(pickle.root())[0]), Some("bad"));
    // An OrderedDict: a call, then items.
    assert_eq!(
        json(b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R(\x8c\x01aK\x01\x8c\x01bK\x02u."),
        r#"{"__class__":"collections.OrderedDict","entries":{"a":1,"b":2}}"#
    );
}

#[test]
fn times() {
    // pickle.dumps(datetime.datetime(2026, 11, 20, 20, 16, 0, 123456), 4)
    let moment = b"\x80\x04\x8c\x08datetime\x8c\x08datetime\x93C\x0a\x07\xea\x0b\x14\x14\x10\x00\x01\xe2\x40\x85R.";
    assert_eq!(json(moment), r#""2026-11-20T20:16:00.123456""#);
    assert_eq!(json(b"\x80\x04\x8c\x08datetime\x8c\x04date\x93C\x04\x07\xea\x0b\x14\x85R."), r#""2026-11-20""#);
}

#[test]
fn sharing_and_cycles_end() {
    assert_eq!(json(b"\x80\x02]q\x00h\x00a."), "[\"… (refers to itself)\"]");
    // Each of forty lists holds the one before twice: a billion billion values if each were written out.
    let mut bomb = b"\x80\x02]q\x00".to_vec();
    for place in 1..=40_u8 {
        bomb.extend([b'(', b'h', place - 1, b'h', place - 1, b'l', b'q', place]);
    }
    bomb.push(b'.');
    let pickle = Pickle::read(&bomb).unwrap();
    let rendered = pickle.render(pickle.root(), 1000);
    assert!(rendered.cut && rendered.json.len() < 5000, "{}", rendered.json.len());
    assert!(serde_json::from_str::<serde_json::Value>(&rendered.json).is_ok());
}

#[test]
fn depth_costs_no_stack() {
    let deep = [b"\x80\x02".as_slice(), &b"]".repeat(100_000), &b"a".repeat(99_999), b"."].concat();
    let pickle = Pickle::read(&deep).unwrap();
    assert!(pickle.render(pickle.root(), 1 << 20).cut);
    drop(pickle);
    assert_eq!(
        Pickle::read(&[b"\x80\x02".as_slice(), &b"]".repeat(300_000)].concat()).unwrap_err().what,
        "it holds too many objects"
    );
    assert!(Pickle::read(&b"(".repeat(1_000_000)).is_err());
    let huge = [b"\x80\x02(N".as_slice(), &b"2".repeat(2_000_000), b"l."].concat();
    assert!(Pickle::read(&huge).is_err());
}

#[test]
fn what_is_no_pickle() {
    for (bytes, what) in [
        (&b""[..], "it is cut short"),
        (b"\x80\x04", "it is cut short"),
        (b"\x80\x04\x8c\xff.", "it is cut short"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "it is cut short"),
        (b".", "nothing on the stack"),
        (b"\x80\x04h\x00.", "a reference to nothing"),
        (b"\x80\x04K\x01K\x01a.", "items for what holds none"),
        (b"\x80\x04}(K\x01u.", "a key without a value"),
        (b"\xfe", "an unknown opcode"),
        (b"N(0.", ""),
    ] {
        match Pickle::read(bytes) {
            Ok(_) => assert_eq!(what, "", "{bytes:?}"),
            Err(trouble) => assert_eq!(trouble.what, what, "{bytes:?}"),
        }
    }
}

/// A name that stands in many places is one name: what is read takes memory in proportion to what was stored.
#[test]
fn names_are_shared() {
    let name = "n".repeat(4000);
    let mut stored = vec![0x80, 4];
    for place in 0..2_u8 {
        stored.extend([b'X']);
        stored.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
        stored.extend(name.bytes());
        stored.extend([b'q', place]);
    }
    for _ in 0..20_000 {
        // Both names again, and the class of that name.
        stored.extend([b'h', 0, b'h', 1, 0x93, b'0']);
    }
    stored.extend(b"N.");
    let read = Pickle::read(&stored).unwrap();
    let mut places = std::collections::HashSet::new();
    let mut classes = 0;
    for node in &read.nodes {
        if let Node::Global(module, name) = node {
            classes += 1;
            places.extend([module.as_ptr(), name.as_ptr()]);
        }
    }
    assert_eq!((classes, places.len()), (20_000, 2));
}

fn opcode_soup() -> impl Strategy<Value = Vec<u8>> {
    let codes: Vec<u8> =
        (0..=255_u8).filter(|code| code.is_ascii_graphic() || *code >= 0x80 && *code <= 0x98).collect();
    prop::collection::vec(
        prop_oneof![
            6 => prop::sample::select(codes).prop_map(|code| vec![code]),
            3 => prop::sample::select(vec![&b"]q\x00"[..], b"h\x00", b"K\x07", b"(", b"}", b"e", b"u", b"\x8c\x01a", b"cm\nn\n", b"b", b"R", b")", b"\x85", b"\x94"]).prop_map(<[u8]>::to_vec),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ],
        0..120,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the bytes: read or refused, and what is rendered is one JSON document of about the room given.
    #[test]
    fn any_bytes_are_read_or_refused(mut soup in opcode_soup(), stop in any::<bool>(), room in 0_usize..2000) {
        if stop {
            soup.push(b'.');
        }
        if let Ok(pickle) = Pickle::read(&soup) {
            let rendered = pickle.render(pickle.root(), room);
            let parsed = serde_json::from_str::<serde_json::Value>(&rendered.json);
            prop_assert!(parsed.is_ok(), "{:?}: {}", parsed, rendered.json);
            prop_assert!(rendered.json.len() < room + 6000, "{} of {}", rendered.json.len(), room);
            let _ = (pickle.class(pickle.root()), pickle.args(pickle.root()), pickle.state(pickle.root()));
        }
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(pickle) = Pickle::read(&bytes) {
            let rendered = pickle.render(pickle.root(), 500);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&rendered.json).is_ok());
        }
    }
}
