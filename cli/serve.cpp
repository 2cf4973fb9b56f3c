// cleave serve: the cloud's side.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/host_options.hpp"
#include "cli/interrupt.hpp"
#include "cli/model_options.hpp"
#include "cli/parse.hpp"
#include "cli/security_options.hpp"

#include <cleave/core/file.hpp>
#include <cleave/device/journal.hpp>
#include <cleave/exec/model_folder.hpp>
#include <cleave/exec/model_inbox.hpp>
#include <cleave/model/trust.hpp>
#include <cleave/profiler/service.hpp>
#include <cleave/runtime/cloud_server.hpp>

#include <pthread.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>
#include <thread>

namespace cleave::cli {
namespace {

using core::fail;

struct Options {
  ModelOptions model;  ///< all but the path
  std::vector<std::string> models;
  std::string folder, rescan = "0s";
  bool allow_push = false;
  std::uint64_t push_limit = std::uint64_t{1} << 30, push_quota = std::uint64_t{4} << 30;
  ServerSecurityOptions security;
  device::HostOptions host;
  std::string listen = "127.0.0.1:7070", port_file;
  int workers = 1;
};

// The models of the command line and of the folder, and those that are pushed into it.
class Served {
 public:
  explicit Served(const Options& options)
      : options_(options),
        folder_(
            options.folder, [this](const std::filesystem::path& path) { return load(path); },
            store) {}

  core::Result<void> open() {
    for (const std::string& path : options_.models) {
      const auto model = load(path);
      if (!model)
        return fail(model);
      store->put(*model);
    }
    if (!options_.folder.empty())
      if (auto scanned = scan(); !scanned)
        return scanned;
    if (!any_)
      return fail(core::Errc::invalid_argument, "no model to serve", options_.folder,
                  "give --model or --models");
    return {};
  }

  // What has come into the folder is served, what has gone is not any more.
  core::Result<void> scan() {
    const auto changes = folder_.scan();
    if (!changes)
      return fail(changes);
    for (const exec::FolderChange& change : *changes) {
      if (change.error)
        print_error(*change.error);
      if (change.removed)
        std::printf("no longer serving %s\n", to_string(*change.removed).c_str());
    }
    std::fflush(stdout);
    return {};
  }

  // Scans when it is told to and, where asked for, now and then.
  void keep_scanning(core::Seconds every) {
    scanner_ = std::jthread([this, every](const std::stop_token& stop) {
      pthread_setname_np(pthread_self(), "cleave-models");
      std::unique_lock lock(mutex_);
      while (!stop.stop_requested()) {
        const auto asked = [this] { return scan_asked_; };
        if (every > core::Seconds(0))
          wake_.wait_for(lock, stop, std::chrono::duration<double>(every.count()), asked);
        else
          wake_.wait(lock, stop, asked);
        if (stop.stop_requested())
          return;
        scan_asked_ = false;
        lock.unlock();
        if (auto scanned = scan(); !scanned)
          print_error(scanned.error());
        lock.lock();
      }
    });
  }

  void ask_for_scan() {
    {
      const std::lock_guard lock(mutex_);
      scan_asked_ = true;
    }
    wake_.notify_all();
  }

  // A pushed file takes the same door as any other.
  core::Result<core::Fingerprint> accept(const std::filesystem::path& path) {
    auto model = load(path);
    if (!model)
      return fail(model);
    store->put(*model);
    {
      const std::lock_guard lock(mutex_);
      accepted_[path.filename().string()] = *model;  // the scan need not open it again
    }
    ask_for_scan();
    return (*model)->fingerprint();
  }

  /// All models run on libtorch, whose thread count belongs to the calling thread: any of them sets
  /// it for all.
  [[nodiscard]] std::shared_ptr<const core::Executable> any() const { return any_; }

  const std::shared_ptr<exec::ModelStore> store = std::make_shared<exec::ModelStore>();

 private:
  core::Result<std::shared_ptr<const core::Executable>> load(const std::filesystem::path& path) {
    {
      const std::lock_guard lock(mutex_);
      const auto known = accepted_.find(path.filename().string());
      // Not the copy that is still being checked: that one has no place in the folder yet.
      if (known != accepted_.end() && path.parent_path().filename() != ".incoming") {
        auto model = std::move(known->second);
        accepted_.erase(known);
        return model;
      }
    }
    ModelOptions named = options_.model;
    named.path = path.string();
    auto model = load_model(named);
    if (!model)
      return fail(model);
    if (!any_)
      any_ = *model;
    std::printf("serving %s %s\n", (*model)->name().c_str(),
                to_string((*model)->fingerprint()).c_str());
    std::fflush(stdout);
    return std::shared_ptr<const core::Executable>(std::move(*model));
  }

  const Options& options_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool scan_asked_ = false;
  std::map<std::string, std::shared_ptr<const core::Executable>> accepted_;
  std::shared_ptr<const core::Executable> any_;
  exec::ModelFolder folder_;
  std::jthread scanner_;  // last: it uses the above
};

core::Result<void> serve(const Options& options) {
  const device::Recovery recovery = device::recover(device::default_state_dir());
  for (const core::Error& error : recovery.errors) print_error(error);
  const auto log = stderr_log(core::Severity::warning);
  const auto address = parse_address(options.listen);
  if (!address)
    return fail(address);
  const auto rescan = parse_duration(options.rescan);
  if (!rescan)
    return fail(rescan);
  if (options.allow_push && options.folder.empty())
    return fail(core::Errc::invalid_argument, "there is no folder to put pushed models into",
                "--allow-push", "give --models FOLDER");
  Served served(options);
  const Interrupt interrupt([&] { served.ask_for_scan(); });
  if (auto opened = served.open(); !opened)
    return opened;
  auto host = open_host(options.host, served.any());
  if (!host)
    return fail(host);
  exec::ModelInboxOptions taking;
  taking.folder = options.folder;
  taking.max_file = options.push_limit;
  taking.quota = options.push_quota;
  taking.digest_of = [](const std::filesystem::path& path) {
    return model::file_fingerprint(path);
  };
  taking.accept = [&](const std::filesystem::path& path) { return served.accept(path); };
  taking.log = log.get();
  exec::ModelInbox inbox(std::move(taking));

  profiler::HostOptions measured;
  char name[256] = "";
  measured.name = ::gethostname(name, sizeof name - 1) == 0 ? name : "cloud";
  measured.board = (*host)->board.name;
  measured.source = (*host)->board.citation();
  measured.made_on = machine_of(options.model);
  measured.power = (*host)->power;
  // Between requests the cloud waits, too, and its caches cool: a tail that starts then takes
  // half as long again as one that follows another.
  measured.idle_gap = core::milliseconds(15);
  measured.load = std::make_shared<device::LoadSensor>();
  profiler::MeasureService measure(*served.store, *(*host)->knobs, std::move(measured));

  runtime::CloudServerOptions server_options;
  server_options.address = address->host;
  server_options.port = address->port;
  server_options.workers = options.workers;
  server_options.knobs = (*host)->knobs;
  server_options.log = log.get();
  server_options.security = server_security(options.security);
  using Message = std::span<const std::byte>;
  std::vector<std::tuple<std::string, std::string, runtime::ServiceHandler>> services;
  const auto offer = [&](std::string_view service, std::string_view method, auto handler) {
    services.emplace_back(service, method, std::move(handler));
  };
  offer(profiler::profile_service, profiler::measure_method,
        [&](Message message) { return measure.measure(message); });
  offer(profiler::profile_service, profiler::machine_method,
        [&](Message) -> core::Result<std::vector<std::byte>> { return measure.machine(); });
  offer(profiler::profile_service, profiler::conditions_method,
        [&](Message) -> core::Result<std::vector<std::byte>> { return measure.conditions(); });
  if (options.allow_push) {
    offer(exec::push_service, exec::begin_method,
          [&](Message message) { return inbox.handle_begin(message); });
    offer(exec::push_service, exec::append_method,
          [&](Message message) { return inbox.handle_append(message); });
    offer(exec::push_service, exec::commit_method,
          [&](Message message) { return inbox.handle_commit(message); });
  }
  auto server = runtime::CloudServer::start(server_options, served.store, std::move(services));
  if (!server)
    return fail(server);
  if (!options.port_file.empty())
    if (auto written =
            core::write_file(options.port_file, std::to_string((*server)->port()) + "\n");
        !written)
      return written;
  if (!options.folder.empty())
    served.keep_scanning(*rescan);
  std::printf("listening on %s port %u; Ctrl-C ends it\n", address->host.c_str(),
              (*server)->port());
  std::fflush(stdout);
  interrupt.wait();
  (*server)->stop();
  return {};
}

}  // namespace

void add_serve(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("serve", summary_of("serve"));
  command->add_option("--model", options->models,
                      "A TorchScript or ONNX file; may be given several times");
  command->add_option("--models", options->folder,
                      "Serve every model of this folder, which nobody but its owner may write to");
  command
      ->add_option("--rescan", options->rescan,
                   "Look at the folder again so often, as 10s (0s: on SIGHUP only)")
      ->capture_default_str();
  command->add_flag("--allow-push", options->allow_push,
                    "Take models that `cleave push` brings into the folder of --models; they pass "
                    "the same checks as its other files");
  command
      ->add_option("--push-limit", options->push_limit, "Size of a pushed model at most, as 100MB")
      ->transform(CLI::AsSizeValue(true))
      ->default_str("1GiB");
  command
      ->add_option("--push-quota", options->push_quota,
                   "Size of all pushed models in the folder together at most")
      ->transform(CLI::AsSizeValue(true))
      ->default_str("4GiB");
  add_loading_options(*command, options->model);
  command
      ->add_option("--input", options->model.inputs,
                   "Shape of an input where the file does not tell it, as 1x3x224x224")
      ->allow_extra_args(false);
  command
      ->add_option("--op-library", options->model.op_libraries,
                   "A shared library that registers operators which the models use; it is code")
      ->allow_extra_args(false);
  command->add_option("--listen", options->listen, "Address and port; port 0 takes a free one")
      ->capture_default_str();
  command->add_option("--port-file", options->port_file, "Write the port there once it listens");
  command->add_option("--workers", options->workers, "Requests run at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  add_server_security(*command, options->security);
  add_host_options(*command, options->host, core::cloud_host);
  command->footer(
      "Only these models are run, and, with --allow-push, those that edges bring. A file that is\n"
      "not on the trusted list is opened in a child process first (--untrusted refuse: not at\n"
      "all).\n\n"
      "Beyond loopback TLS is needed (or --insecure said). Anybody who can connect may use the "
      "models\n"
      "unless clients need a certificate (--client-ca) or a token (--tokens).\n\n"
      "Example:\n"
      "  cleave serve --model m.pt --listen 10.0.0.2:7070 --threads 1,2 \\\n"
      "      --tls-cert certs/server.pem --tls-key certs/server.key --tokens tokens");
  command->callback([options, &result] {
    if (const auto done = serve(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
