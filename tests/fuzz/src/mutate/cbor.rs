//! Changes to a CBOR document that leave it one.
use super::bytes;
use crate::limits::{TREE_DEPTH_MAX, TREE_NODES_MAX};
use crate::rng::Rng;

/// A document as a tree.
#[derive(Debug, Clone)]
enum Tree {
    /// Integers and simple values: major type and argument.
    Plain(u8, u64),
    /// Byte and text strings.
    Text(u8, Vec<u8>),
    /// Arrays.
    List(Vec<Tree>),
    /// Maps: keys and values in turn.
    Map(Vec<Tree>),
}

/// Returns the document with one branch changed; `None` when the bytes are none.
pub fn mutate(input: &[u8], other: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
    let mut tree = whole(input)?;
    let donor = rng.one_in(3).then(|| whole(other)).flatten();
    let mut index = rng.index(count(&tree).min(TREE_NODES_MAX));
    let branch = at(&mut tree, &mut index)?;
    change(branch, donor, rng);
    let mut out = Vec::new();
    write(&tree, &mut out);
    Some(out)
}

fn whole(input: &[u8]) -> Option<Tree> {
    let mut rest = input;
    let tree = read(&mut rest, 0)?;
    rest.is_empty().then_some(tree)
}

fn read(rest: &mut &[u8], depth: usize) -> Option<Tree> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    let (major, info) = (first >> 5, first & 0x1f);
    let width = match info {
        0..=23 => 0,
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return None,
    };
    let (raw, after) = rest.split_at_checked(width)?;
    *rest = after;
    let argument = if width == 0 { u64::from(info) } else { raw.iter().fold(0, |n, b| n << 8 | u64::from(*b)) };
    Some(match major {
        2 | 3 => {
            let (text, after) = rest.split_at_checked(usize::try_from(argument).ok()?)?;
            *rest = after;
            Tree::Text(major, text.to_vec())
        }
        4 | 5 => {
            let many = if major == 5 { argument.checked_mul(2)? } else { argument };
            if depth == TREE_DEPTH_MAX || many > rest.len() as u64 {
                return None;
            }
            let items = (0..many).map(|_| read(rest, depth + 1)).collect::<Option<Vec<_>>>()?;
            if major == 5 { Tree::Map(items) } else { Tree::List(items) }
        }
        6 => return None,
        _ => Tree::Plain(if major == 7 && width > 1 { 0x70 | width as u8 } else { major }, argument),
    })
}

fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let first = major << 5;
    match argument {
        0..24 => out.push(first | argument as u8),
        24..0x100 => out.extend_from_slice(&[first | 24, argument as u8]),
        0x100..0x1_0000 => {
            out.push(first | 25);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(first | 26);
            out.extend_from_slice(&(argument as u32).to_be_bytes());
        }
        _ => {
            out.push(first | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

fn write(tree: &Tree, out: &mut Vec<u8>) {
    match tree {
        // A float keeps its width.
        Tree::Plain(major, argument) if *major >= 0x70 => {
            let width = usize::from(major & 0x0f);
            out.push(
                7 << 5
                    | if width == 2 {
                        25
                    } else if width == 4 {
                        26
                    } else {
                        27
                    },
            );
            out.extend_from_slice(&argument.to_be_bytes()[8 - width..]);
        }
        Tree::Plain(major, argument) => head(*major, *argument, out),
        Tree::Text(major, text) => {
            head(*major, text.len() as u64, out);
            out.extend_from_slice(text);
        }
        Tree::List(items) => {
            head(4, items.len() as u64, out);
            items.iter().for_each(|item| write(item, out));
        }
        Tree::Map(items) => {
            head(5, items.len() as u64 / 2, out);
            items.iter().for_each(|item| write(item, out));
        }
    }
}

fn count(tree: &Tree) -> usize {
    1 + match tree {
        Tree::List(items) | Tree::Map(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

fn at<'t>(tree: &'t mut Tree, index: &mut usize) -> Option<&'t mut Tree> {
    if *index == 0 {
        return Some(tree);
    }
    *index -= 1;
    match tree {
        Tree::List(items) | Tree::Map(items) => items.iter_mut().find_map(|item| at(item, index)),
        _ => None,
    }
}

fn change(tree: &mut Tree, donor: Option<Tree>, rng: &mut Rng) {
    if let Some(mut donor) = donor {
        let mut index = rng.index(count(&donor).min(TREE_NODES_MAX));
        if let Some(piece) = at(&mut donor, &mut index) {
            *tree = piece.clone();
            return;
        }
    }
    if rng.one_in(8) {
        *tree = plain(rng);
        return;
    }
    if rng.one_in(16) {
        let inner = std::mem::replace(tree, Tree::Plain(7, 22));
        *tree = (0..rng.length(20)).fold(inner, |inner, _| Tree::List(vec![inner]));
        return;
    }
    match tree {
        Tree::Plain(_, argument) => {
            *argument = match rng.below(3) {
                0 => bytes::edge(rng),
                1 => argument.wrapping_add(1),
                _ => argument.wrapping_sub(1),
            };
        }
        Tree::Text(major, text) => match rng.below(8) {
            0 => *major ^= 1,
            1 => {
                let many = rng.length(2000);
                text.resize(many, b'x');
            }
            _ => bytes::mutate(text, b"", &[], rng),
        },
        Tree::List(items) => {
            if items.is_empty() {
                items.push(plain(rng));
                return;
            }
            let at = rng.index(items.len());
            match rng.below(3) {
                0 => drop(items.remove(at)),
                1 => items.push(plain(rng)),
                _ => {
                    let (item, many) = (items[at].clone(), 1 + rng.length(200));
                    items.extend(std::iter::repeat_n(item, many));
                }
            }
        }
        Tree::Map(items) => {
            let pairs = items.len() / 2;
            match rng.below(3) {
                0 if pairs > 0 => {
                    let at = 2 * rng.index(pairs);
                    items.drain(at..at + 2);
                }
                // The same key twice.
                1 if pairs > 0 => {
                    let at = 2 * rng.index(pairs);
                    let pair = items[at..at + 2].to_vec();
                    items.extend(pair);
                }
                _ => {
                    items.push(Tree::Plain(0, rng.below(32)));
                    items.push(plain(rng));
                }
            }
        }
    }
}

fn plain(rng: &mut Rng) -> Tree {
    match rng.below(7) {
        0 => Tree::Plain(0, bytes::edge(rng)),
        1 => Tree::Plain(1, bytes::edge(rng)),
        2 => Tree::Plain(7, 20 + rng.below(4)),
        3 => Tree::Text(2, (0..rng.length(64)).map(|_| rng.number() as u8).collect()),
        4 => Tree::Text(3, b"text".repeat(rng.length(8))),
        5 => Tree::List(Vec::new()),
        _ => Tree::Map(Vec::new()),
    }
}
