// Plans with a table, looks at the machine, reads and writes inputs: no network is run.
#include "../toy_table.hpp"

#include <cleave/core/version.hpp>
#include <cleave/data/npy.hpp>
#include <cleave/device/doctor.hpp>
#include <cleave/exec/model_store.hpp>
#include <cleave/report/terminal.hpp>
#include <cleave/scheduler/scheduler.hpp>
#include <cleave/table/files.hpp>
#include <cleave/transport/codec.hpp>
#include <cleave/transport/server.hpp>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <vector>

namespace {

void expect(bool held, const char* what) {
  if (!held) {
    std::cerr << "light consumer: " << what << '\n';
    std::exit(1);
  }
}

}  // namespace

int main() {
  using namespace cleave;
  std::cout << "cleave " << core::version() << '\n';

  auto table = std::make_shared<table::ParetoTable>(toy_table({1, 2}, {10}, {20}));
  const auto saved = table::save(*table, "toy.table");
  expect(saved.has_value(), "a table could not be saved");
  const auto loaded = table::load_table("toy.table");
  expect(loaded && *loaded == *table, "the table came back changed");

  auto policy = scheduler::make_policy("cleave", table);
  expect(policy.has_value(), "there is no policy");
  scheduler::LiveState state;
  state.link = table->reference;
  scheduler::Request request;
  request.deadline = core::milliseconds(100);
  const auto in_hurry = (*policy)->decide(request, state);
  expect(in_hurry.row < table->rows.size() && table->rows[in_hurry.row].ingredients.uses_cloud,
         "only the cloud answers within 100 ms");
  state.cloud_reachable = false;
  const auto alone = (*policy)->decide(request, state);
  expect(alone.row < table->rows.size() && !table->rows[alone.row].ingredients.uses_cloud,
         "without a cloud the edge answers");
  std::cout << scheduler::explain(*table, in_hurry) << '\n' << report::front_table(*table);

  core::Tensor tensor = core::empty_tensor(core::DType::float32, {2, 3});
  for (int i = 0; i < 6; ++i) {
    tensor.data_as<float>()[i] = static_cast<float>(i);
  }
  expect(data::save_npy(tensor, "toy.npy").has_value(), "an array could not be saved");
  const auto array = data::load_npy("toy.npy");
  expect(array && array->sizes == tensor.sizes && array->data_as<float>()[5] == 5,
         "the array came back changed");

  const auto codec = transport::find_codec("raw");
  expect(codec.has_value(), "there is no raw codec");
  std::vector<std::byte> message;
  expect(transport::encode_values({tensor}, **codec, message).has_value(),
         "a tensor could not be encoded");
  const auto values = transport::decode_values(message);
  expect(values && values->size() == 1 && values->front().tensor() != nullptr &&
             values->front().tensor()->data_as<float>()[5] == 5,
         "the tensor came back changed");
  const auto server = transport::Server::listen({});
  expect(server && (*server)->port() != 0, "a server could not listen");

  const exec::ModelStore models;
  expect(!models.find({1, 2}), "an empty store found a model");
  expect(!device::diagnose().empty(), "the doctor had nothing to say");
}
