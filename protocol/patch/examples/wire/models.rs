//! Models of the size and form of real ones, the same for the same seed, written as minimal ONNX.

/// Numbers that look random (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    /// Returns 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// Returns a number from 0 up to 1.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
    /// Returns a number of the standard normal distribution.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (core::f64::consts::TAU * self.share()).cos()
    }
}

/// A constant of a model.
#[derive(Clone)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub dims: Vec<u64>,
    /// Its `TensorProto.DataType`.
    pub data_type: u64,
    /// Its elements, little-endian.
    pub data: Vec<u8>,
}

/// A network of dense layers.
#[derive(Clone)]
pub struct Model {
    /// Who made it: producer_version and one entry of metadata.
    pub version: String,
    /// Weights and biases, layer by layer.
    pub tensors: Vec<Tensor>,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

impl Model {
    /// Returns the ONNX file, fields in the order in which protobuf writes them.
    pub fn file(&self) -> Vec<u8> {
        let mut graph = Vec::new();
        let layers = self.tensors.len() / 2;
        for layer in 0..layers {
            let input = if layer == 0 { "input".into() } else { format!("hidden{layer}") };
            let output = if layer + 1 == layers { "output".into() } else { format!("hidden{}", layer + 1) };
            for (kind, inputs, output) in [
                (
                    "Gemm",
                    vec![&input, &self.tensors[2 * layer].name, &self.tensors[2 * layer + 1].name],
                    format!("sum{layer}"),
                ),
                ("Relu", vec![&format!("sum{layer}")], output),
            ] {
                let mut node = Vec::new();
                inputs.iter().for_each(|name| bytes(&mut node, 1, name.as_bytes()));
                bytes(&mut node, 2, output.as_bytes());
                bytes(&mut node, 3, format!("/layers.{layer}/{kind}").as_bytes());
                bytes(&mut node, 4, kind.as_bytes());
                bytes(&mut graph, 1, &node);
            }
        }
        bytes(&mut graph, 2, b"main_graph");
        for tensor in &self.tensors {
            let mut out = Vec::new();
            tensor.dims.iter().for_each(|dim| number(&mut out, 1, *dim));
            number(&mut out, 2, tensor.data_type);
            bytes(&mut out, 8, tensor.name.as_bytes());
            bytes(&mut out, 9, &tensor.data);
            bytes(&mut graph, 5, &out);
        }
        let mut model = Vec::new();
        number(&mut model, 1, 9);
        bytes(&mut model, 2, b"pytorch");
        bytes(&mut model, 3, self.version.as_bytes());
        bytes(&mut model, 7, &graph);
        bytes(&mut model, 8, &[0x10, 17]);
        let mut entry = Vec::new();
        bytes(&mut entry, 1, b"trained");
        bytes(&mut entry, 2, self.version.as_bytes());
        bytes(&mut model, 14, &entry);
        model
    }

    /// Changes each element of type `data_type` that it knows: fp32 by `float`, int8 by `byte`.
    pub fn change(&mut self, mut float: impl FnMut(f32) -> f32, mut byte: impl FnMut(i8) -> i8) {
        for tensor in &mut self.tensors {
            match tensor.data_type {
                1 => {
                    for element in tensor.data.as_chunks_mut::<4>().0 {
                        *element = float(f32::from_le_bytes(*element)).to_le_bytes();
                    }
                }
                _ => tensor.data.iter_mut().for_each(|element| *element = byte(*element as i8) as u8),
            }
        }
    }
}

/// Returns an fp32 network with layers of these widths, weights as after a usual initialisation and training.
pub fn fp32(widths: &[usize], chance: &mut Chance) -> Model {
    network(widths, 1, |fan_in| {
        let spread = (2.0 / fan_in as f64).sqrt();
        ((chance.normal() * spread) as f32).to_le_bytes().to_vec()
    })
}

/// Returns an int8 network: weights of a normal distribution, quantised to its range.
pub fn int8(widths: &[usize], chance: &mut Chance) -> Model {
    network(widths, 3, |_| vec![(chance.normal() * 32.0).round().clamp(-127.0, 127.0) as i8 as u8])
}

fn network(widths: &[usize], data_type: u64, mut element: impl FnMut(usize) -> Vec<u8>) -> Model {
    let mut tensors = Vec::new();
    for (layer, pair) in widths.windows(2).enumerate() {
        let mut tensor = |name: &str, dims: Vec<usize>| Tensor {
            name: format!("layers.{layer}.{name}"),
            data: (0..dims.iter().product()).flat_map(|_| element(pair[0])).collect(),
            dims: dims.iter().map(|dim| *dim as u64).collect(),
            data_type,
        };
        tensors.push(tensor("weight", vec![pair[1], pair[0]]));
        tensors.push(tensor("bias", vec![pair[1]]));
    }
    Model { version: "2.9.1".into(), tensors }
}
