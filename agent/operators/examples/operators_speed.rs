//! Says how long tract with the pack takes for a model, the way the agent asks it.
//!
//! usage: operators_speed MODEL.onnx ROWS.csv BATCH...
//!
//! `ROWS.csv` has no header. Prints one line for each batch: rows, and the microseconds of the fastest of many calls; with
//! a batch of 1 the rows take turns.

use std::time::{Duration, Instant};

use pinnace_operators::registry;
use tract_onnx::prelude::*;

/// How long each batch is repeated.
const FOR: Duration = Duration::from_millis(1500);
/// Rows between two looks at the clock, at least one call: short spans, so that the fastest is one that nothing else cut.
const ROWS: usize = 50;

fn main() -> TractResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, rows, batches @ ..] = arguments.as_slice() else {
        eprintln!("usage: operators_speed MODEL.onnx ROWS.csv BATCH...");
        std::process::exit(2);
    };
    let text = std::fs::read_to_string(rows)?;
    let rows: Vec<Vec<f32>> = text
        .lines()
        .map(|line| line.split(',').map(|cell| cell.trim().parse().unwrap_or(f32::NAN)).collect())
        .collect();
    let columns = rows[0].len();
    let onnx = registry::onnx();
    let proto = onnx.proto_model_for_read(&mut &*std::fs::read(model)?)?;
    // Scores only: a device does not ask for the label.
    let mut proto = proto;
    if let Some(graph) = proto.graph.as_mut() {
        let scores = graph.output.len() - 1;
        graph.output.drain(..scores);
    }
    let parsed = onnx.parse(&proto, None)?.model;
    for batch in batches {
        let batch: usize = batch.parse()?;
        let count: TDim = if batch == 1 { 1.into() } else { parsed.symbols.sym("N").into() };
        let fact = f32::fact(&[count, columns.into()]);
        let plan = parsed.clone().with_input_fact(0, fact.into())?.into_optimized()?.into_runnable()?;
        let mut state = plan.spawn()?;
        let inputs: Vec<Vec<f32>> = rows.chunks(batch).filter(|c| c.len() == batch).map(|c| c.concat()).collect();
        let calls = (ROWS / batch).max(1);
        let mut next = 0;
        let (began, mut fastest) = (Instant::now(), Duration::MAX);
        while began.elapsed() < FOR {
            let begin = Instant::now();
            for _ in 0..calls {
                next = (next + 1) % inputs.len();
                let input = Tensor::from_shape(&[batch, columns], &inputs[next])?;
                std::hint::black_box(state.run(tvec!(input.into_tvalue()))?);
            }
            fastest = fastest.min(begin.elapsed() / u32::try_from(calls)?);
        }
        println!("{batch} {:.3}", fastest.as_secs_f64() * 1e6);
    }
    Ok(())
}
