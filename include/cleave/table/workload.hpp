// The requests of an experiment and what became of them.
#pragma once

#include <cleave/core/energy.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/table/predictor.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cleave::inline v0::table {

struct RequestSpec {
  std::uint32_t input = 0;  ///< index into the labelled inputs
  core::Seconds deadline;   ///< from the request's start
  friend bool operator==(const RequestSpec&, const RequestSpec&) = default;
};

/// Deadlines from a Weibull distribution of the shape given, rescaled so that the smallest drawn
/// becomes `shortest` and the largest `longest` (DynaSplit, arXiv 2410.23881, section 6); inputs
/// drawn without replacement while there are enough, then afresh. A single request gets `longest`.
/// Deadlines are whole nanoseconds. Equal seeds give equal requests on every machine.
/// Preconditions: shape > 0, shortest <= longest, both finite.
CLEAVE_EXPORT std::vector<RequestSpec> weibull_workload(std::size_t count, std::uint64_t seed,
                                                        core::Seconds shortest,
                                                        core::Seconds longest, std::size_t inputs,
                                                        double shape = 1.0);

/// How a request was decided and where it ended.
enum class DecisionKind : std::uint8_t { edge, cloud, split };
CLEAVE_EXPORT std::string_view to_string(DecisionKind kind);

/// What one request did.
struct RequestOutcome {
  RequestSpec request;
  std::uint32_t row = 0;  ///< of the table
  std::string label;      ///< that row's
  DecisionKind decided = DecisionKind::edge;
  bool fell_back = false;  ///< the link or cloud failed and the edge ran the tail
  core::Seconds latency;
  LatencyParts parts;
  EnergyParts energy;
  core::Seconds predicted;            ///< when it was decided
  std::int32_t predicted_class = -1;  ///< top-1 of the first output
  std::int32_t label_class = -1;      ///< -1: not labelled
  std::string error;                  ///< "" if it completed
  [[nodiscard]] bool met() const { return error.empty() && latency <= request.deadline; }
};

/// All requests of one policy.
struct RunLog {
  std::string policy;
  core::Boundary boundary = core::Boundary::edge_cloud_device;
  std::vector<RequestOutcome> outcomes;
};

/// What is printed and compared. Energy, latency and accuracy are those of the requests that
/// completed (NaN if none did); quantiles interpolate between the closest ranks.
struct RunSummary {
  std::string policy;
  core::Boundary boundary = core::Boundary::edge_cloud_device;
  core::Origin origin = core::Origin::modelled;
  std::size_t requests = 0, failed = 0, fell_back = 0;
  std::size_t missed = 0;                            ///< past the deadline, or failed
  std::size_t on_edge = 0, on_cloud = 0, split = 0;  ///< as decided
  core::Joules mean_energy;
  core::Seconds median_latency, p95_latency;
  double accuracy = 0;  ///< of the labelled ones that completed; NaN if none was labelled
};
CLEAVE_EXPORT RunSummary summarise(const RunLog& log);

/// Several policies' logs in one JSON document ({"format": "cleave-runs", "version": 1, "runs":
/// [..]}, units in the key names), and back. A time or energy that is not finite is written as null
/// and read as infinity. Errors: those of core::read_text, corrupt (not such a document; says
/// where), version.
CLEAVE_EXPORT std::string to_json(const std::vector<RunLog>& logs);
CLEAVE_EXPORT core::Result<std::vector<RunLog>> load_run_logs(const std::filesystem::path& path);
/// One line per request.
CLEAVE_EXPORT std::string to_csv(const std::vector<RunLog>& logs);

}  // namespace cleave::inline v0::table
