// Builds a small network, loads it, and answers one request on the edge.
#include "../toy_table.hpp"

#include <cleave/model/model.hpp>
#include <cleave/model/zoo.hpp>
#include <cleave/runtime/edge_client.hpp>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

namespace {

void expect(bool held, const std::string& what) {
  if (!held) {
    std::cerr << "edge consumer: " << what << '\n';
    std::exit(1);
  }
}

}  // namespace

int main() {
  using namespace cleave;
  expect(!model::load("no_such_file.pt"), "a model was loaded that is not there");

  const auto built = model::build_zoo_model("fashion_residual", 1, "network.pt");
  expect(built.has_value(), "no model was built");
  const auto model = model::load("network.pt");
  expect(model.has_value(), "the model was not loaded");
  const auto cuts = (*model)->cuts();

  runtime::EdgeOptions options;
  options.model = *model;
  options.table = std::make_shared<table::ParetoTable>(
      toy_table((*model)->fingerprint(), cuts.front().id, cuts.back().id));
  auto client = runtime::EdgeClient::open(std::move(options));
  expect(client.has_value(), "no client was opened");

  runtime::Request request;
  request.inputs = (*model)->example_inputs();
  const auto reply = (*client)->infer(request);
  expect(reply.has_value(), "the request failed");
  expect(reply->outputs.size() == 1 && reply->outputs.front().tensor() != nullptr,
         "the reply is not one tensor");
  std::cout << "ran " << cuts.size() << " cuts' network on the edge\n";
}
