// Embeds cleave in an inference loop: a model, a table and a cloud; then inputs and deadlines.
//
//   embed MODEL.pt TABLE CLOUD_HOST PORT
#include <cleave/core/top_class.hpp>
#include <cleave/device/host.hpp>
#include <cleave/model/model.hpp>
#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/table/files.hpp>

#include <cstdlib>
#include <iostream>

int main(int argc, char** argv) try {
  using namespace cleave;
  if (argc != 5)
    return std::cerr << "usage: embed MODEL.pt TABLE CLOUD_HOST PORT\n", 2;

  runtime::EdgeOptions options;
  auto model = model::load(argv[1]).value();
  options.model = model;
  options.table = std::make_shared<table::ParetoTable>(table::load_table(argv[2]).value());
  runtime::CloudLinkOptions cloud;
  cloud.host = argv[3];
  cloud.port = static_cast<std::uint16_t>(std::atoi(argv[4]));
  options.cloud = std::make_shared<runtime::CloudLink>(cloud);
  device::HostOptions board;  // as when profiling
  board.board = "raspberry_pi_4";
  auto set_threads = [model](int threads) { return model->set_threads(threads); };
  options.knobs = device::open_host(board, set_threads).value()->knobs;
  auto client = runtime::EdgeClient::open(options).value();

  for (std::uint64_t frame = 0; frame < 10; ++frame) {
    runtime::Request request;
    request.inputs = model->example_inputs(frame);  // your camera's picture here
    request.deadline = core::milliseconds(80);
    auto reply = client->infer(request).value();
    std::cout << "class " << core::top_class(reply.outputs) << " in " << reply.total.count() * 1e3
              << " ms: " << client->table().rows[reply.decision.row].label << '\n';
  }
} catch (const std::exception& error) {
  std::cerr << "embed: " << error.what() << '\n';
  return 1;
}
