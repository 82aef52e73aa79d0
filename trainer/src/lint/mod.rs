//! Looks at an ONNX model before it becomes a bundle: what is in it, what must not be, and a clean copy of it.
//!
//! Pure: bytes in, report out. Nothing is trusted: the model may come from anyone. What an engine makes of it is not
//! guessed here; the golden vectors are run on every engine by who has them (`pinnace bundle lint`, `pinnace train`).
pub mod limits;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use limits::{DEPTH_MAX, NAME_MAX_BYTES, NODES_MAX, OPERATORS_MAX, PORTS_MAX, TENSORS_MAX};
use serde::Serialize;
use wire::{Field, NotAMessage, Value, fields, put_bytes, put_number};

pub use limits::MODEL_MAX_BYTES;

/// Says why a model cannot go into a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LintError {
    /// Larger than any engine reads.
    #[error(
        "the model has {bytes} bytes, at most {MODEL_MAX_BYTES} are read\n  hint: make it smaller, e.g. by int8 weights"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The bytes are no ONNX model.
    #[error(
        "{part} is not what ONNX says: {why}\n  hint: export the model again; `onnx.checker.check_model` says more"
    )]
    Malformed {
        /// Which part.
        part: String,
        /// What is wrong.
        why: String,
    },
    /// More of something than any sound model has.
    #[error("the model has more than {max} {what}\n  hint: it is broken or hostile; export it again from its source")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Weights lie in another file.
    #[error(
        "tensor `{tensor}` lies in `{location}`, {why}\n  hint: save the model as one file (`onnx.save(model, path, save_as_external_data=False)`)"
    )]
    External {
        /// The tensor.
        tensor: String,
        /// The path in the model.
        location: String,
        /// Why that is refused.
        why: &'static str,
    },
    /// A dimension that was to be frozen is not there.
    #[error("no input has a dimension `{name}`, only {found}\n  hint: name one of them, e.g. --dim batch=1")]
    NoSuchDimension {
        /// The name given.
        name: String,
        /// Those that are there.
        found: String,
    },
}

/// One dimension of an input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Dim {
    /// A number.
    Fixed(i64),
    /// A name for any number; empty when it has none.
    Named(String),
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Named(name) if name.is_empty() => f.write_str("?"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// An input or output of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Type of its elements, by ONNX's word, e.g. `FLOAT`; `no tensor` for sequences, maps and optionals.
    pub element: String,
    /// Its dimensions; none when its rank is left open.
    pub dims: Option<Vec<Dim>>,
}

/// A kind of operator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Operator {
    /// Its domain; `ai.onnx` is ONNX's own.
    pub domain: String,
    /// Its name, e.g. `MatMul`.
    pub name: String,
    /// The version of the domain that the model imports; 0 when it imports none.
    pub version: i64,
    /// How many nodes are of this kind, bodies of loops and branches included.
    pub count: usize,
}

/// What is in a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Bytes of the file.
    pub bytes: usize,
    /// Version of the file format.
    pub ir_version: i64,
    /// Who wrote it, with a version.
    pub producer: String,
    /// Domains and their versions.
    pub opsets: Vec<(String, i64)>,
    /// Kinds of operators, by domain and name.
    pub operators: Vec<Operator>,
    /// Inputs that are no constants.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// Constant tensors, also those in nodes.
    pub tensors: usize,
    /// Bytes of their values.
    pub tensor_bytes: u64,
    /// Notes of shapes inside the graph, which a clean copy leaves out.
    pub value_infos: usize,
    /// Whether it computes in 8-bit integers with scales from training (QDQ or QLinear operators).
    pub int8: bool,
    /// What people should know.
    pub findings: Vec<String>,
}

/// Fields of ONNX's messages that the linter reads (`onnx.proto`).
mod tag {
    pub(super) const MODEL: [u64; 7] = [1, 2, 3, 7, 8, 20, 25];
    pub(super) const GRAPH_INPUT: u64 = 11;
    pub(super) const GRAPH_OUTPUT: u64 = 12;
    pub(super) const GRAPH_VALUE_INFO: u64 = 13;
    pub(super) const MODEL_GRAPH: u64 = 7;
}

/// Looks at a model.
///
/// # Errors
/// [`LintError`] when it is too large, no ONNX model, or reaches outside its file.
pub fn lint(model: &[u8]) -> Result<Report, LintError> {
    if model.len() > MODEL_MAX_BYTES {
        return Err(LintError::TooLarge { bytes: model.len() });
    }
    let mut look = Look::default();
    let mut report = Report { bytes: model.len(), ..Report::default() };
    let mut graphs = 0;
    let mut producer = [String::new(), String::new()];
    let [ir, name, version, graph, opset, training, function] = tag::MODEL;
    for field in fields(model) {
        let field = field.map_err(bad("the file"))?;
        let n = field.number;
        if n == ir {
            report.ir_version = field.number().map_err(bad("the IR version"))?;
        } else if n == name || n == version {
            producer[usize::from(n == version)] = short(field.text().map_err(bad("the producer"))?);
        } else if n == graph {
            graphs += 1;
            look.graph(field.bytes().map_err(bad("the graph"))?, 0, Some(&mut report))?;
        } else if n == opset {
            report.opsets.push(import(&field).map_err(bad("an operator set"))?);
            at_most(report.opsets.len(), PORTS_MAX, "operator sets")?;
        } else if n == function {
            look.functions += 1;
            for inner in fields(field.bytes().map_err(bad("a function"))?) {
                let inner = inner.map_err(bad("a function"))?;
                if inner.number == 7 {
                    look.node(inner.bytes().map_err(bad("a function"))?, 1)?;
                }
            }
        } else if n == training {
            report.findings.push("it carries training graphs, which no engine here runs".into());
        }
    }
    if graphs != 1 {
        return Err(LintError::Malformed { part: "the file".into(), why: format!("{graphs} graphs, a model has one") });
    }
    report.producer = producer.join(" ").trim().to_owned();
    report.inputs.retain(|port| !look.constants.contains(&port.name));
    look.finish(&mut report);
    Ok(report)
}

/// Returns a copy of a model that says less: without notes of shapes inside its graph, and with the named dimensions of
/// its inputs and outputs frozen to numbers (`freeze`: names and numbers). All else is kept as it stands.
///
/// # Errors
/// [`LintError`] as [`lint`]; or a name to freeze is no dimension of an input.
pub fn clean(model: &[u8], freeze: &[(String, i64)]) -> Result<Vec<u8>, LintError> {
    let report = lint(model)?;
    let ports = report.inputs.iter().filter_map(|p| p.dims.as_ref()).flatten();
    let names: BTreeSet<&str> =
        ports.filter_map(|d| if let Dim::Named(n) = d { Some(n.as_str()) } else { None }).collect();
    if let Some((name, _)) = freeze.iter().find(|(name, _)| !names.contains(name.as_str())) {
        let found = names.into_iter().collect::<Vec<_>>().join(", ");
        return Err(LintError::NoSuchDimension {
            name: short(name),
            found: if found.is_empty() { "numbers".into() } else { found },
        });
    }
    let mut out = Vec::with_capacity(model.len());
    let graph = |graph: &[u8]| -> Result<Vec<u8>, NotAMessage> {
        let mut kept = Vec::with_capacity(graph.len());
        for field in fields(graph) {
            let field = field?;
            match field.number {
                tag::GRAPH_VALUE_INFO => {}
                tag::GRAPH_INPUT | tag::GRAPH_OUTPUT => {
                    put_bytes(&mut kept, field.number, &frozen(field.bytes()?, freeze, 0)?)
                }
                _ => kept.extend_from_slice(field.raw),
            }
        }
        Ok(kept)
    };
    for field in fields(model) {
        let field = field.map_err(bad("the file"))?;
        if field.number == tag::MODEL_GRAPH {
            let inner = field.bytes().and_then(graph).map_err(bad("the graph"))?;
            put_bytes(&mut out, field.number, &inner);
        } else {
            out.extend_from_slice(field.raw);
        }
    }
    Ok(out)
}

/// The way from an input to one of its dimensions: type, tensor type, shape, dimension.
const WAY_TO_DIM: [u64; 4] = [2, 1, 2, 1];

/// Copies an input or output; at the end of [`WAY_TO_DIM`] names that are to be frozen become numbers.
fn frozen(message: &[u8], freeze: &[(String, i64)], step: usize) -> Result<Vec<u8>, NotAMessage> {
    let mut out = Vec::with_capacity(message.len());
    for field in fields(message) {
        let field = field?;
        match (WAY_TO_DIM.get(step), field.value) {
            (Some(next), Value::Bytes(inner)) if *next == field.number => {
                put_bytes(&mut out, field.number, &frozen(inner, freeze, step + 1)?);
            }
            // dim_param becomes dim_value.
            (None, Value::Bytes(name)) if field.number == 2 => {
                match freeze.iter().find(|(n, _)| n.as_bytes() == name) {
                    Some((_, value)) => put_number(&mut out, 1, value.cast_unsigned()),
                    None => out.extend_from_slice(field.raw),
                }
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    Ok(out)
}

/// What is gathered on the way.
#[derive(Default)]
struct Look {
    operators: BTreeMap<(String, String), usize>,
    constants: BTreeSet<String>,
    nodes: usize,
    tensors: usize,
    tensor_bytes: u64,
    functions: usize,
    value_infos: usize,
}

impl Look {
    fn graph(&mut self, graph: &[u8], depth: usize, mut report: Option<&mut Report>) -> Result<(), LintError> {
        at_most(depth, DEPTH_MAX, "graphs inside one another")?;
        for field in fields(graph) {
            let field = field.map_err(bad("a graph"))?;
            let inner = || field.bytes().map_err(bad("a graph"));
            match (field.number, report.as_deref_mut()) {
                (1, _) => self.node(inner()?, depth)?,
                (5, report) => {
                    let name = self.tensor(inner()?)?;
                    if report.is_some() {
                        self.constants.insert(name);
                    }
                }
                (15, _) => self.sparse(inner()?)?,
                (tag::GRAPH_INPUT, Some(report)) => {
                    report.inputs.push(port(inner()?)?);
                    at_most(report.inputs.len(), TENSORS_MAX, "inputs")?;
                }
                (tag::GRAPH_OUTPUT, Some(report)) => {
                    report.outputs.push(port(inner()?)?);
                    at_most(report.outputs.len(), PORTS_MAX, "outputs")?;
                }
                (tag::GRAPH_VALUE_INFO, Some(_)) => self.value_infos += 1,
                _ => {}
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &[u8], depth: usize) -> Result<(), LintError> {
        self.nodes += 1;
        at_most(self.nodes, NODES_MAX, "nodes")?;
        let (mut name, mut domain) = ("", "");
        for field in fields(node) {
            let field = field.map_err(bad("a node"))?;
            match field.number {
                4 => name = field.text().map_err(bad("a node's operator"))?,
                7 => domain = field.text().map_err(bad("a node's domain"))?,
                5 => {
                    for part in fields(field.bytes().map_err(bad("a node's attribute"))?) {
                        let part = part.map_err(bad("a node's attribute"))?;
                        let inner = || part.bytes().map_err(bad("a node's attribute"));
                        match part.number {
                            5 | 10 => drop(self.tensor(inner()?)?),
                            6 | 11 => self.graph(inner()?, depth + 1, None)?,
                            22 | 23 => self.sparse(inner()?)?,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        *self.operators.entry((own(domain), short(name))).or_default() += 1;
        at_most(self.operators.len(), OPERATORS_MAX, "kinds of operators")
    }

    fn sparse(&mut self, tensor: &[u8]) -> Result<(), LintError> {
        for field in fields(tensor) {
            let field = field.map_err(bad("a sparse tensor"))?;
            if matches!(field.number, 1 | 2) {
                self.tensor(field.bytes().map_err(bad("a sparse tensor"))?)?;
            }
        }
        Ok(())
    }

    /// Looks at a tensor, and returns its name.
    fn tensor(&mut self, tensor: &[u8]) -> Result<String, LintError> {
        self.tensors += 1;
        at_most(self.tensors, TENSORS_MAX, "tensors")?;
        let (mut name, mut kind, mut location) = (String::new(), 0, None);
        let (mut dims, mut raw, mut elsewhere) = (Vec::new(), None, false);
        let malformed = bad("a tensor");
        for field in fields(tensor) {
            let field = field.map_err(&malformed)?;
            match field.number {
                1 => dims.extend(field.integers().map_err(&malformed)?),
                2 => kind = field.number().map_err(&malformed)?,
                8 => name = short(field.text().map_err(&malformed)?),
                9 => raw = Some(field.bytes().map_err(&malformed)?.len() as u64),
                4..=7 | 10 | 11 => self.tensor_bytes += field.raw.len() as u64,
                13 => {
                    let (key, value) = pair(field.bytes().map_err(&malformed)?).map_err(&malformed)?;
                    if key == "location" {
                        location = Some(short(value));
                    }
                    elsewhere = true;
                }
                14 => elsewhere |= field.number().map_err(&malformed)? == 1,
                _ => {}
            }
            at_most(dims.len(), PORTS_MAX, "dimensions of a tensor")?;
        }
        if elsewhere {
            let location = location.unwrap_or_default();
            let climbs = location.split(['/', '\\']).any(|part| part == "..");
            let why = if location.starts_with(['/', '\\']) || location.as_bytes().get(1) == Some(&b':') {
                "an absolute path: a model must not name files of the machine it runs on"
            } else if climbs {
                "outside the model's folder"
            } else {
                "another file: engines are given this one alone"
            };
            return Err(LintError::External { tensor: name, location, why });
        }
        let product = dims.iter().try_fold(1_u64, |n, d| n.checked_mul(u64::try_from(*d).ok()?));
        let wrong = |why: String| LintError::Malformed { part: format!("tensor `{name}`"), why };
        let elements = product.ok_or_else(|| wrong("its dimensions are negative or too large".into()))?;
        if let (Some(found), Some(bits)) = (raw, element_bits(kind)) {
            let expected = u128::from(elements) * bits;
            if expected.div_ceil(8) != u128::from(found) {
                return Err(wrong(format!("{found} bytes for {elements} values of {}", element_name(kind))));
            }
        }
        self.tensor_bytes += raw.unwrap_or(0);
        Ok(name)
    }

    fn finish(self, report: &mut Report) {
        let version = |domain: &str| report.opsets.iter().find(|(d, _)| d == domain).map_or(0, |(_, v)| *v);
        report.operators = self
            .operators
            .into_iter()
            .map(|((domain, name), count)| Operator { version: version(&domain), domain, name, count })
            .collect();
        let quantised = |o: &Operator| o.name.starts_with("QLinear") || o.name == "QuantizeLinear";
        report.int8 = report.operators.iter().any(quantised);
        report.tensors = self.tensors;
        report.tensor_bytes = self.tensor_bytes;
        report.value_infos = self.value_infos;
        let unknown: BTreeSet<&str> =
            report.operators.iter().filter(|o| o.version == 0).map(|o| o.domain.as_str()).collect();
        if !unknown.is_empty() && self.functions == 0 {
            let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
            report.findings.push(format!("it uses operators of {names} and does not say of which version"));
        }
        for port in &report.inputs {
            // The first dimension are the rows, of which a request may have any number.
            let open = port.dims.iter().flatten().skip(1).filter(|d| matches!(d, Dim::Named(_)));
            let open: Vec<_> = open.map(ToString::to_string).collect();
            if !open.is_empty() {
                let names = open.join(", ");
                report
                    .findings
                    .push(format!("input `{}` leaves {names} open: freeze it (--dim NAME=VALUE)", port.name));
            }
            if port.dims.is_none() {
                report.findings.push(format!("input `{}` does not say how many dimensions it has", port.name));
            }
        }
        if report.int8 {
            report
                .findings
                .push("it computes in 8-bit integers: ONNX Runtime only, unless vectors prove another".into());
        }
    }
}

fn port(info: &[u8]) -> Result<Port, LintError> {
    let malformed = bad("an input or output");
    let mut port = Port { name: String::new(), element: "no tensor".into(), dims: None };
    for field in fields(info) {
        let field = field.map_err(&malformed)?;
        match field.number {
            1 => port.name = short(field.text().map_err(&malformed)?),
            2 => {
                for kind in fields(field.bytes().map_err(&malformed)?) {
                    let kind = kind.map_err(&malformed)?;
                    if kind.number == 1 {
                        tensor_type(kind.bytes().map_err(&malformed)?, &mut port)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(port)
}

fn tensor_type(kind: &[u8], port: &mut Port) -> Result<(), LintError> {
    let malformed = bad("a type");
    for field in fields(kind) {
        let field = field.map_err(&malformed)?;
        match field.number {
            1 => port.element = element_name(field.number().map_err(&malformed)?),
            2 => {
                let mut dims = Vec::new();
                for dim in fields(field.bytes().map_err(&malformed)?) {
                    let dim = dim.map_err(&malformed)?;
                    if dim.number != 1 {
                        continue;
                    }
                    let mut found = Dim::Named(String::new());
                    for part in fields(dim.bytes().map_err(&malformed)?) {
                        let part = part.map_err(&malformed)?;
                        match part.number {
                            1 => found = Dim::Fixed(part.number().map_err(&malformed)?),
                            2 => found = Dim::Named(short(part.text().map_err(&malformed)?)),
                            _ => {}
                        }
                    }
                    dims.push(found);
                    at_most(dims.len(), PORTS_MAX, "dimensions")?;
                }
                port.dims = Some(dims);
            }
            _ => {}
        }
    }
    Ok(())
}

fn import(field: &Field<'_>) -> Result<(String, i64), NotAMessage> {
    let (mut domain, mut version) = ("", 0);
    for part in fields(field.bytes()?) {
        let part = part?;
        match part.number {
            1 => domain = part.text()?,
            2 => version = part.number()?,
            _ => {}
        }
    }
    Ok((own(domain), version))
}

fn pair(entry: &[u8]) -> Result<(&str, &str), NotAMessage> {
    let (mut key, mut value) = ("", "");
    for part in fields(entry) {
        let part = part?;
        match part.number {
            1 => key = part.text()?,
            2 => value = part.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Returns a domain with ONNX's own spelt out.
fn own(domain: &str) -> String {
    if domain.is_empty() { "ai.onnx".into() } else { short(domain) }
}

fn short(text: &str) -> String {
    let mut end = text.len().min(NAME_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn bad(part: &str) -> impl Fn(NotAMessage) -> LintError + '_ {
    move |_| LintError::Malformed { part: part.into(), why: "its bytes are cut short or damaged".into() }
}

fn at_most(found: usize, max: usize, what: &'static str) -> Result<(), LintError> {
    if found > max { Err(LintError::TooMany { what, max }) } else { Ok(()) }
}

/// `TensorProto.DataType`: names with bits of one value; 0 for texts.
const ELEMENTS: [(&str, u128); 24] = [
    ("UNDEFINED", 0),
    ("FLOAT", 32),
    ("UINT8", 8),
    ("INT8", 8),
    ("UINT16", 16),
    ("INT16", 16),
    ("INT32", 32),
    ("INT64", 64),
    ("STRING", 0),
    ("BOOL", 8),
    ("FLOAT16", 16),
    ("DOUBLE", 64),
    ("UINT32", 32),
    ("UINT64", 64),
    ("COMPLEX64", 64),
    ("COMPLEX128", 128),
    ("BFLOAT16", 16),
    ("FLOAT8E4M3FN", 8),
    ("FLOAT8E4M3FNUZ", 8),
    ("FLOAT8E5M2", 8),
    ("FLOAT8E5M2FNUZ", 8),
    ("UINT4", 4),
    ("INT4", 4),
    ("FLOAT4E2M1", 4),
];

fn element(kind: i64) -> Option<(&'static str, u128)> {
    usize::try_from(kind).ok().and_then(|k| ELEMENTS.get(k)).copied()
}

fn element_name(kind: i64) -> String {
    element(kind).map_or_else(|| format!("type {kind}"), |(name, _)| name.into())
}

fn element_bits(kind: i64) -> Option<u128> {
    element(kind).map(|(_, bits)| bits).filter(|bits| *bits > 0)
}
