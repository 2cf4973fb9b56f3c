// How what was learnt is written down: 8 bytes magic, u32 version, u64 XXH3-64 of the rest; then
// u64 digest of the table, u64 requests observed, the beliefs (mean and variance, f64 each) of the
// link, of the edge's and the cloud's settings and of the rows that were tried (those that compute
// the same say the same of it), and the last residuals; from version 2 on the beliefs of the edge's
// power: of all its settings, and of each.
#include "scheduler/corrections.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/core/hash.hpp>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace cleave::inline v0::scheduler {
namespace {

using core::ByteReader;
using core::ByteWriter;
using core::Errc;
using core::fail;

constexpr std::string_view magic = "CLVLRNT1";
constexpr std::uint32_t version = 2;

}  // namespace

struct Corrections::Learnt {
  std::uint64_t requests = 0;
  std::vector<RowState> rows;
  std::vector<OwnError> own_errors;
  std::vector<Belief> edge_settings, cloud_settings;
  Belief link;
  Residuals on_edge, in_cloud;
  std::vector<Belief> power;
  Belief all_power;

  static void put(ByteWriter& out, const Belief& belief) {
    out.put(belief.mean);
    out.put(belief.variance);
  }
  static void put(ByteWriter& out, const std::vector<Belief>& beliefs) {
    out.put(static_cast<std::uint32_t>(beliefs.size()));
    for (const Belief& belief : beliefs) put(out, belief);
  }
  static void put(ByteWriter& out, const Residuals& residuals) {
    out.put(static_cast<std::uint32_t>(residuals.values.size()));
    for (const double value : residuals.values) out.put(value);
    out.put(static_cast<std::uint32_t>(residuals.next));
  }

  // `good` becomes false where a number cannot have been learnt.
  static Belief belief(ByteReader& in, const Belief& beforehand, bool& good) {
    Belief belief;
    belief.mean = in.get<double>();
    belief.variance = in.get<double>();
    belief.prior = beforehand.prior;
    good = good && std::isfinite(belief.mean) && std::abs(belief.mean) < 20 &&
           belief.variance >= 0 && belief.variance <= 100;
    return belief;
  }
  static void beliefs(ByteReader& in, std::vector<Belief>& beliefs, bool& good) {
    good = good && in.get_count(16, 1U << 30) == beliefs.size();
    for (Belief& one : beliefs)
      if (good)
        one = belief(in, one, good);
  }
  static Residuals residuals(ByteReader& in, bool& good) {
    Residuals residuals;
    const auto count = in.get_count(8, Residuals::window);
    for (std::uint32_t i = 0; i < count; ++i) {
      residuals.values.push_back(in.get<double>());
      good = good && std::abs(residuals.values.back()) <= 1e6;
    }
    residuals.next = in.get<std::uint32_t>();
    good = good && residuals.next < Residuals::window &&
           (residuals.next == count % Residuals::window || count == Residuals::window);
    return residuals;
  }
};

std::vector<std::byte> Corrections::save() const {
  std::vector<std::byte> body;
  ByteWriter out(body);
  out.put(table_);
  out.put(requests_);
  Learnt::put(out, link_);
  Learnt::put(out, edge_settings_);
  Learnt::put(out, cloud_settings_);
  const auto touched =
      std::count_if(rows_.begin(), rows_.end(), [](const RowState& row) { return row.touched; });
  out.put(static_cast<std::uint32_t>(touched));
  for (std::uint32_t i = 0; i < rows_.size(); ++i) {
    if (!rows_[i].touched)
      continue;
    out.put(i);
    out.put(rows_[i].tried);
    for (const std::uint32_t error : {where_[i].edge, where_[i].move, where_[i].cloud})
      Learnt::put(out, drifted(own_errors_[error]).belief);
  }
  Learnt::put(out, on_edge_);
  Learnt::put(out, in_cloud_);
  Learnt::put(out, all_power_);
  Learnt::put(out, power_);

  std::vector<std::byte> all;
  ByteWriter head(all);
  head.put_bytes(std::as_bytes(std::span(magic.data(), magic.size())));
  head.put(version);
  head.put(core::hash_bytes(body));
  head.put_bytes(body);
  return all;
}

core::Result<void> Corrections::load(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  const auto begin = in.take(magic.size());
  const auto format = in.get<std::uint32_t>();
  const auto sum = in.get<std::uint64_t>();
  const auto expected = std::as_bytes(std::span(magic.data(), magic.size()));
  if (!in.ok() || !std::equal(begin.begin(), begin.end(), expected.begin(), expected.end()))
    return fail(Errc::corrupt, "this is not what a policy of cleave's has learnt", {},
                "delete it: it is learnt again");
  if (format < 1 || format > version)
    return fail(Errc::version, "what was learnt has format " + std::to_string(format), {},
                "use a newer cleave, or delete it: it is learnt again");
  if (sum != core::hash_bytes(in.rest()))
    return fail(Errc::corrupt, "the checksum of what was learnt does not fit", {},
                "delete it: it is learnt again");
  if (in.get<std::uint64_t>() != table_)
    return fail(Errc::mismatch, "it was learnt with another table", {},
                "give the table that it was learnt with, or delete it");
  Learnt read{.requests = in.get<std::uint64_t>(),
              .rows = rows_,
              .own_errors = own_errors_,
              .edge_settings = edge_settings_,
              .cloud_settings = cloud_settings_,
              .link = {},
              .on_edge = {},
              .in_cloud = {},
              .power = power_,
              .all_power = {}};
  bool good = true;
  read.link = Learnt::belief(in, link_, good);
  Learnt::beliefs(in, read.edge_settings, good);
  Learnt::beliefs(in, read.cloud_settings, good);
  const double prior = options_.row_deviation * options_.row_deviation;
  const Belief own{.mean = 0, .variance = prior, .prior = prior};
  for (RowState& row : read.rows) row.touched = false;
  for (OwnError& error : read.own_errors)
    error = {.belief = own, .touched = false, .seen = 0, .drifted = read.requests};
  const auto touched = in.get_count(4 + 8 + 3 * 16, 1U << 30);
  for (std::uint32_t i = 0; good && i < touched; ++i) {
    const auto index = in.get<std::uint32_t>();
    good = index < read.rows.size() && !read.rows[index].touched;
    if (!good)
      break;
    RowState& row = read.rows[index];
    row.touched = true;
    row.tried = in.get<std::uint64_t>();
    good = row.tried <= read.requests;
    for (const std::uint32_t at : {where_[index].edge, where_[index].move, where_[index].cloud}) {
      OwnError& error = read.own_errors[at];
      const Belief belief = Learnt::belief(in, own, good);
      // Of rows that compute the same, the one that ran last knows best.
      if (error.touched && row.tried < error.seen)
        continue;
      error.belief = belief;
      error.touched = true;
      error.seen = row.tried;
    }
  }
  read.on_edge = Learnt::residuals(in, good);
  read.in_cloud = Learnt::residuals(in, good);
  if (format >= 2) {
    read.all_power = Learnt::belief(in, all_power_, good);
    Learnt::beliefs(in, read.power, good);
  } else {
    const double variance = all_power_.prior;
    read.all_power = {.mean = 0, .variance = variance, .prior = variance};
    std::fill(read.power.begin(), read.power.end(), read.all_power);
  }
  if (!good || !in.finished())
    return fail(Errc::corrupt, "what was learnt does not fit together", {},
                "delete it: it is learnt again");
  requests_ = read.requests;
  rows_ = std::move(read.rows);
  own_errors_ = std::move(read.own_errors);
  edge_settings_ = std::move(read.edge_settings);
  cloud_settings_ = std::move(read.cloud_settings);
  link_ = read.link;
  on_edge_ = std::move(read.on_edge);
  in_cloud_ = std::move(read.in_cloud);
  power_ = std::move(read.power);
  all_power_ = read.all_power;
  for (std::uint32_t i = 0; i < own_errors_.size(); ++i) settle(i);
  on_edge_.find_quantile(confidence_);
  in_cloud_.find_quantile(confidence_);
  update_factors();
  return {};
}

}  // namespace cleave::inline v0::scheduler
