//! A server's packets in the notation of the recordings.

use kingbus_core::reader::Reader;

/// What the packets of a server are read by.
#[derive(Clone, Copy)]
pub(crate) struct Agreed {
    pub(crate) deprecate_eof: bool,
    /// The login is over.
    pub(crate) logged_in: bool,
}

/// One line per packet, and per answer of rows what its packets mean.
pub(crate) fn describe(packets: &[(u8, Vec<u8>)], agreed: Agreed) -> Vec<String> {
    let mut lines = Vec::new();
    let mut agreed = agreed;
    let mut packets = packets.iter();
    while let Some((seq, payload)) = packets.next() {
        let head = format!("seq={seq} len={} ", payload.len());
        let first = *payload.first().expect("no empty packets");
        if first > 0 && first < 0xfb && agreed.logged_in {
            lines.push(format!("{head}resultset columns={first}"));
            rows(first, &mut packets, agreed.deprecate_eof, &mut lines);
            continue;
        }
        lines.push(head + &single(payload, &mut agreed));
    }
    lines
}

/// A packet that is not part of a result set.
fn single(payload: &[u8], agreed: &mut Agreed) -> String {
    match payload {
        [0, ..] => {
            let mark = if agreed.logged_in {
                ""
            } else {
                "   <- authenticated"
            };
            agreed.logged_in = true;
            ok("OK", payload) + mark
        }
        [0x0a, ..] => greeting(payload),
        [1, 3] => "AuthMoreData fast auth ok".to_owned(),
        [1, 4] => "AuthMoreData full authentication needed".to_owned(),
        [1, key @ ..] => format!("AuthMoreData {} bytes PEM public key", key.len()),
        [0xfe, rest @ ..] if rest.len() > 8 => {
            let end = rest.iter().position(|b| *b == 0).expect("a plugin's name");
            let plugin = String::from_utf8_lossy(&rest[..end]);
            let data = rest.len() - end - 1;
            format!("AuthSwitchRequest plugin='{plugin}' data={data} bytes")
        }
        [0xfe, ..] => eof(payload),
        [0xff, low, high, b'#', rest @ ..] => {
            let code = u16::from_le_bytes([*low, *high]);
            let (state, text) = rest.split_at(5);
            let state = String::from_utf8_lossy(state);
            format!(
                "ERR {code} #{state} {}",
                quoted(&String::from_utf8_lossy(text))
            )
        }
        [0xff, low, high, text @ ..] => {
            let code = u16::from_le_bytes([*low, *high]);
            format!("ERR {code} {}", quoted(&String::from_utf8_lossy(text)))
        }
        other => panic!("unexpected packet {other:02x?}"),
    }
}

fn rows<'a>(
    columns: u8,
    packets: &mut impl Iterator<Item = &'a (u8, Vec<u8>)>,
    deprecate_eof: bool,
    lines: &mut Vec<String>,
) {
    let mut head_left = usize::from(columns) + usize::from(!deprecate_eof);
    for (seq, payload) in packets.by_ref() {
        let head = format!("seq={seq} len={} ", payload.len());
        if head_left > 0 {
            head_left -= 1;
            let is_eof = head_left == 0 && !deprecate_eof;
            lines.push(if is_eof {
                head + &eof(payload)
            } else {
                head + &column(payload)
            });
        } else if payload[0] == 0xff {
            lines.push(
                head + &single(
                    payload,
                    &mut Agreed {
                        deprecate_eof,
                        logged_in: true,
                    },
                ),
            );
            return;
        } else if payload[0] == 0xfe && payload.len() < 9 {
            let end = if deprecate_eof {
                ok("EOF as OK(0xfe)", payload)
            } else {
                eof(payload)
            };
            lines.push(head + &end);
            return;
        } else {
            lines.push(head + &row(payload));
        }
    }
    panic!("a result set without an end");
}

fn row(payload: &[u8]) -> String {
    let mut reader = Reader::new(payload);
    let mut values = Vec::new();
    while !reader.is_empty() {
        if reader.rest()[0] == 0xfb {
            reader.u8();
            values.push("NULL".to_owned());
        } else {
            values.push(quoted(&text(&mut reader)));
        }
    }
    format!("  row {}", values.join(", "))
}

fn column(payload: &[u8]) -> String {
    let mut reader = Reader::new(payload);
    let [catalog, schema, table, original_table, name, original_name] =
        std::array::from_fn(|_| text(&mut reader));
    assert_eq!(table, original_table);
    assert_eq!(reader.u8(), Some(12));
    let charset = reader.u16().expect("charset");
    let length = reader.u32().expect("length");
    let kind = match reader.u8().expect("type") {
        3 => "LONG(3)",
        8 => "LONGLONG(8)",
        251 => "LONG_BLOB(251)",
        253 => "VAR_STRING(253)",
        other => panic!("type {other}"),
    };
    let flags = reader.u16().expect("flags");
    let decimals = reader.u8().expect("decimals");
    assert_eq!(reader.rest(), [0, 0]);
    let names = [
        (1, "NOT_NULL"),
        (0x20, "UNSIGNED"),
        (0x80, "BINARY"),
        (0x1000, "NO_DEFAULT"),
    ];
    let flags = flag_names(flags, &names);
    let mut line = format!(
        "  column {} type={kind} length={length} charset={charset} flags={flags} \
         decimals={decimals} catalog='{catalog}'",
        quoted(&name)
    );
    if !table.is_empty() {
        line += &format!(" table={schema}.{table} org_name='{original_name}'");
    }
    line
}

fn text(reader: &mut Reader<'_>) -> String {
    String::from_utf8_lossy(reader.lenenc_bytes().expect("a text")).into_owned()
}

fn flag_names(flags: u16, names: &[(u16, &str)]) -> String {
    let set: Vec<&str> = names
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, name)| *name)
        .collect();
    if set.is_empty() {
        "0".to_owned()
    } else {
        set.join("|")
    }
}

fn status(status: u16) -> String {
    let names = [(0x01, "IN_TRANS"), (0x02, "AUTOCOMMIT"), (0x20, "NO_INDEX")];
    format!("0x{status:04x}({})", flag_names(status, &names))
}

fn ok(name: &str, payload: &[u8]) -> String {
    let [_, affected, insert_id, s0, s1, w0, w1] = *payload else {
        panic!("an OK of {} bytes", payload.len());
    };
    let warnings = u16::from_le_bytes([w0, w1]);
    let status = status(u16::from_le_bytes([s0, s1]));
    format!("{name} affected={affected} insert_id={insert_id} status={status} warnings={warnings}")
}

fn eof(payload: &[u8]) -> String {
    let [_, w0, w1, s0, s1] = *payload else {
        panic!("an EOF of {} bytes", payload.len());
    };
    let status = status(u16::from_le_bytes([s0, s1]));
    format!(
        "EOF warnings={} status={status}",
        u16::from_le_bytes([w0, w1])
    )
}

fn greeting(payload: &[u8]) -> String {
    let mut reader = Reader::new(&payload[1..]);
    let version = String::from_utf8_lossy(reader.nul_str().expect("version")).into_owned();
    let thread = reader.u32().expect("thread");
    reader.bytes(8 + 1).expect("scramble");
    let low = u32::from(reader.u16().expect("capabilities"));
    let collation = reader.u8().expect("collation");
    let status = reader.u16().expect("status");
    let high = u32::from(reader.u16().expect("capabilities"));
    let auth_data_len = reader.u8().expect("length");
    assert_eq!(reader.bytes(10), Some(&[0; 10][..]));
    reader.bytes(13).expect("scramble");
    let plugin = String::from_utf8_lossy(reader.nul_str().expect("plugin")).into_owned();
    assert!(reader.is_empty());
    let caps = low | high << 16;
    assert_eq!(status, 2);
    format!(
        "HandshakeV10 version='{version}' thread={thread} caps=0x{caps:08x} collation={collation} \
         status=AUTOCOMMIT auth_data_len={auth_data_len} reserved=zero plugin='{plugin}'"
    )
}

/// A text as Python shows it, the way the recordings were written.
fn quoted(text: &str) -> String {
    if text.contains('\'') {
        format!("\"{text}\"")
    } else {
        format!("'{text}'")
    }
}

/// Describes packets of a session after its login.
pub(crate) fn answers(packets: &[(u8, Vec<u8>)]) -> String {
    describe(
        packets,
        Agreed {
            deprecate_eof: false,
            logged_in: true,
        },
    )
    .join("\n")
}
