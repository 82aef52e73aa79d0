//! Putting a graph together.

use super::proto::{Attribute, FLOAT, Graph, INT64, Node, Tensor, ValueInfo};

/// The domain of the operators for classical models.
pub(super) const ML_DOMAIN: &str = "ai.onnx.ml";

/// Collects nodes and constants.
#[derive(Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
}

impl Builder {
    /// Adds an operation with one output, which is also its name; returns that name.
    pub(super) fn node(&mut self, op: &str, inputs: &[&str], output: &str, attribute: Vec<Attribute>) -> String {
        self.nodes.push(Node {
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("{output}_node"),
            op_type: op.to_owned(),
            attribute,
            domain: String::new(),
        });
        output.to_owned()
    }

    /// Adds an operation of `ai.onnx.ml` with two outputs and returns the name of the second.
    pub(super) fn ml_node(&mut self, op: &str, input: &str, outputs: [String; 2], attribute: Vec<Attribute>) -> String {
        let second = outputs[1].clone();
        self.nodes.push(Node {
            input: vec![input.to_owned()],
            output: outputs.into(),
            name: format!("{second}_node"),
            op_type: op.to_owned(),
            attribute,
            domain: ML_DOMAIN.to_owned(),
        });
        second
    }

    /// Adds a constant of f32 and returns its name.
    pub(super) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, dims, FLOAT, bytes)
    }

    /// Adds a list of i64 and returns its name.
    pub(super) fn ints(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, &[values.len()], INT64, bytes)
    }

    fn constant(&mut self, name: &str, dims: &[usize], data_type: i32, raw: Vec<u8>) -> String {
        self.constants.push(Tensor {
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type,
            name: name.to_owned(),
            raw_data: raw,
        });
        name.to_owned()
    }

    /// Returns the graph.
    pub(super) fn finish(self, name: &str, input: Vec<ValueInfo>, output: Vec<ValueInfo>) -> Graph {
        let (node, initializer) = (self.nodes, self.constants);
        Graph { node, name: name.to_owned(), initializer, input, output }
    }
}
