#include <cleave/table/sensitivity.hpp>

#include <algorithm>
#include <cmath>

namespace cleave::inline v0::table {
namespace {

constexpr PowerPart all_parts[] = {PowerPart::edge_busy, PowerPart::edge_idle, PowerPart::radio,
                                   PowerPart::cloud};

Ingredients scaled(Ingredients in, PowerPart part, double factor) {
  switch (part) {
    case PowerPart::edge_busy:
      in.edge_busy = in.edge_busy * factor;
      break;
    case PowerPart::edge_idle:
      in.edge_idle = in.edge_idle * factor;
      break;
    case PowerPart::radio:
      in.transmit = in.transmit * factor;
      in.receive = in.receive * factor;
      break;
    case PowerPart::cloud:
      in.cloud_device = in.cloud_device * factor;
      in.cloud_machine = in.cloud_machine * factor;
      break;
  }
  return in;
}

core::Joules energy_of(const ParetoTable& table, const Ingredients& ingredients) {
  return compose(ingredients, table.reference, core::Seconds()).energy.total(table.boundary);
}

struct Row {
  const Ingredients* ingredients;
  core::Seconds latency;
  core::Joules modelled;
};

PowerSensitivity at(const ParetoTable& table, const std::vector<Row>& rows, PowerPart part,
                    double factor) {
  PowerSensitivity out{.part = part, .factor = factor};
  core::Joules chosen_modelled(INFINITY), chosen(INFINITY), best(INFINITY);
  double sum = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const core::Joules real = energy_of(table, scaled(*rows[i].ingredients, part, factor));
    if (rows[i].modelled < chosen_modelled) {
      chosen_modelled = rows[i].modelled;
      chosen = real;
    }
    best = std::min(best, real);
    if (i + 1 < rows.size() && rows[i + 1].latency == rows[i].latency)
      continue;
    ++out.decisions;
    const double regret = best > core::Joules() ? chosen / best - 1 : 0;
    out.changed += best < chosen ? 1 : 0;
    out.worst_regret = std::max(out.worst_regret, regret);
    sum += regret;
  }
  out.mean_regret = sum / static_cast<double>(out.decisions);
  return out;
}

}  // namespace

std::string_view to_string(PowerPart part) {
  switch (part) {
    case PowerPart::edge_busy:
      return "edge, computing";
    case PowerPart::edge_idle:
      return "edge, waiting";
    case PowerPart::radio:
      return "radio";
    case PowerPart::cloud:
      return "cloud";
  }
  return "unknown";
}

std::vector<PowerSensitivity> power_sensitivity(const ParetoTable& table,
                                                const std::vector<double>& factors) {
  std::vector<Row> rows;
  bool modelled = false;
  for (const TableRow& row : table.rows) {
    const Prediction prediction = compose(row.ingredients, table.reference, core::Seconds());
    rows.push_back(
        {&row.ingredients, prediction.latency.total(), prediction.energy.total(table.boundary)});
    modelled = modelled || row.ingredients.origin == core::Origin::modelled;
  }
  if (!modelled)
    return {};
  // Of equal latency the one that the model prefers first, so that ties are decided like others.
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return a.latency != b.latency ? a.latency < b.latency : a.modelled < b.modelled;
  });
  std::vector<PowerSensitivity> out;
  for (const PowerPart part : all_parts) {
    const bool counts = std::any_of(rows.begin(), rows.end(), [&](const Row& row) {
      return energy_of(table, scaled(*row.ingredients, part, 2)) != row.modelled;
    });
    for (const double factor : factors)
      if (counts)
        out.push_back(at(table, rows, part, factor));
  }
  return out;
}

}  // namespace cleave::inline v0::table
