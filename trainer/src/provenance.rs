//! Where a model comes from: an in-toto statement with a SLSA v1 provenance predicate.

use serde::Serialize;
use serde_json::{Value, json};

use crate::PRODUCER;
use crate::learn::Params;

/// The kind of build, as SLSA wants it: a name for "trained by this crate from a table".
pub const BUILD_TYPE: &str = "urn:pinnace:build:train:v1";
/// What the statement says: SLSA v1 provenance.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// What a statement is made from; times and digests are passed in, because the library reads
/// neither clocks nor files on its own account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Provenance<'a> {
    /// What was made: file names and their SHA-256 in hex.
    pub subjects: &'a [(&'a str, &'a str)],
    /// Name or address of the data.
    pub data: &'a str,
    /// SHA-256 of the data in hex.
    pub data_sha256: &'a str,
    /// Rows learnt from.
    pub rows: usize,
    /// The parameters, seed included.
    pub params: &'a Params,
    /// Repository address and git commit of the training code or pipeline, if known.
    pub source: Option<(&'a str, &'a str)>,
    /// Who ran it, as a URI.
    pub builder: &'a str,
    /// Identifier of the run.
    pub run: &'a str,
    /// When it started, RFC 3339.
    pub started: &'a str,
    /// When it finished, RFC 3339.
    pub finished: &'a str,
}

/// Returns the statement as JSON, ready to be signed in a DSSE envelope
/// (`application/vnd.in-toto+json`).
pub fn statement(of: &Provenance<'_>) -> Value {
    let subject: Vec<Value> =
        of.subjects.iter().map(|(name, sha256)| json!({ "name": name, "digest": { "sha256": sha256 } })).collect();
    let mut data = json!({ "name": of.data, "digest": { "sha256": of.data_sha256 } });
    // A file's name is no URI.
    if of.data.contains("://") {
        data["uri"] = of.data.into();
    }
    let mut dependencies = vec![data];
    if let Some((uri, commit)) = of.source {
        let digest = json!({ "gitCommit": commit });
        dependencies.push(json!({ "name": "source", "uri": uri, "digest": digest }));
    }
    let version = json!({ PRODUCER.0: PRODUCER.1 });
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "data": of.data,
                    "rows": of.rows,
                    "algorithm": &of.params.algorithm,
                    // As text: a 64-bit seed does not survive readers that use doubles.
                    "seed": of.params.seed.to_string(),
                },
                "internalParameters": {},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": { "id": of.builder, "version": version },
                "metadata": {
                    "invocationId": of.run,
                    "startedOn": of.started,
                    "finishedOn": of.finished,
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_was_made_from_what() {
        let params = Params { seed: u64::MAX, ..Params::boosting() };
        let statement = statement(&Provenance {
            subjects: &[("model.onnx", "aa")],
            data: "weather.csv",
            data_sha256: "bb",
            rows: 1826,
            params: &params,
            source: Some(("https://example.org/repo", "cc")),
            builder: "https://example.org/laptop",
            run: "run-1",
            started: "2026-01-01T00:00:00Z",
            finished: "2026-01-01T00:00:09Z",
        });
        assert_eq!(statement["subject"][0]["digest"]["sha256"], "aa");
        let definition = &statement["predicate"]["buildDefinition"];
        assert_eq!(definition["resolvedDependencies"][0]["digest"]["sha256"], "bb");
        assert_eq!(definition["resolvedDependencies"][1]["digest"]["gitCommit"], "cc");
        assert_eq!(definition["externalParameters"]["seed"], u64::MAX.to_string());
        assert_eq!(definition["externalParameters"]["algorithm"]["boosting"]["iterations"], 100);
    }
}
