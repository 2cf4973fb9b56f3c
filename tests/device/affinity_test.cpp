#include "tests/device/fake_kernel.hpp"

#include <cleave/device/affinity.hpp>

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace cleave::device_tests {
namespace {

using Cpus = std::vector<int>;
using device::AffinityGovernor;

// Threads and their CPUs, in a cpuset.
struct Threads {
  std::map<pid_t, Cpus> all;
  Cpus cpuset = {0, 1, 2, 3, 4, 5};
  Threads() {
    all[::getpid()] = {0, 1, 2, 3, 4, 5};
    all[::getpid() + 1] = {0, 1};
  }
  device::AffinityCalls calls() {
    device::AffinityCalls calls;
    calls.threads = [this]() -> core::Result<std::vector<pid_t>> {
      std::vector<pid_t> ids;
      for (const auto& [id, cpus] : all) ids.push_back(id);
      ids.push_back(::getpid() + 99);  // has just ended
      return ids;
    };
    calls.get = [this](pid_t id) -> core::Result<Cpus> {
      if (!all.contains(id))
        return core::fail(Errc::not_found, "no such thread", std::to_string(id));
      return all[id];
    };
    // As sched_setaffinity(2) says: what the cpuset does not have is taken away.
    calls.set = [this](pid_t id, const Cpus& cpus) -> core::Result<void> {
      if (!all.contains(id))
        return core::fail(Errc::not_found, "no such thread", std::to_string(id));
      Cpus kept;
      std::set_intersection(cpus.begin(), cpus.end(), cpuset.begin(), cpuset.end(),
                            std::back_inserter(kept));
      if (kept.empty())
        return core::fail(core::Errc::refused, "none of them", std::to_string(id));
      all[id] = kept;
      return {};
    };
    return calls;
  }
};

device::Machine machine_with(const std::shared_ptr<FakeKernel>& kernel) {
  device::Machine machine;
  machine.sys = "/sys";
  machine.files = kernel;
  return machine;
}

// A board with two fast CPUs behind four slow ones, such as an RK3399's.
std::shared_ptr<FakeKernel> big_little() {
  auto kernel = std::make_shared<FakeKernel>();
  for (int cpu = 0; cpu < 6; ++cpu)
    kernel->put("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpu_capacity",
                cpu < 4 ? "485" : "1024");
  kernel->put("/sys/devices/system/cpu/cpufreq/boost", "0");
  return kernel;
}

std::map<std::string, Cpus> kinds(const std::shared_ptr<FakeKernel>& kernel) {
  std::map<std::string, Cpus> found;
  for (const auto& set : device::kinds_of_cpu(machine_with(kernel))) found[set.label] = set.cpus;
  return found;
}

TEST(KindsOfCpu, AreToldByCapacity) {
  EXPECT_EQ(kinds(big_little()),
            (std::map<std::string, Cpus>{
                {"all", {0, 1, 2, 3, 4, 5}}, {"big", {4, 5}}, {"little", {0, 1, 2, 3}}}));
  auto three = big_little();
  three->put("/sys/devices/system/cpu/cpu5/cpu_capacity", "800");
  EXPECT_EQ(kinds(three)["capacity 800"], Cpus{5});
}

TEST(KindsOfCpu, OfAHybridProcessorAreItsPerformanceUnits) {
  auto kernel = std::make_shared<FakeKernel>();
  kernel->put("/sys/devices/cpu_core/cpus", "0-3,8");
  kernel->put("/sys/devices/cpu_atom/cpus", "4-7");
  EXPECT_EQ(kinds(kernel), (std::map<std::string, Cpus>{{"all", {0, 1, 2, 3, 4, 5, 6, 7, 8}},
                                                        {"performance", {0, 1, 2, 3, 8}},
                                                        {"efficient", {4, 5, 6, 7}}}));
  for (const std::string garbage : {"", "4-", "7-4", "x", "0-99999999"}) {
    kernel->put("/sys/devices/cpu_atom/cpus", garbage);
    EXPECT_TRUE(kinds(kernel).empty()) << garbage;
  }
}

TEST(Affinity, MovesEveryThreadAndGivesEachItsOwnBack) {
  Threads threads;
  const auto before = threads.all;
  auto governor = AffinityGovernor::open({}, machine_with(big_little()), threads.calls()).value();
  EXPECT_EQ(governor->knob().name, "cpus");
  EXPECT_TRUE(governor->knob().categorical);
  ASSERT_TRUE(governor->apply(1));
  for (const auto& [id, cpus] : threads.all) EXPECT_EQ(cpus, (Cpus{4, 5}));
  EXPECT_EQ(governor->current().value(), core::LevelIndex{1});
  threads.all[::getpid() + 2] = {4, 5};  // a thread that has started since
  ASSERT_TRUE(governor->apply(2));
  ASSERT_TRUE(governor->restore());
  auto after = before;
  after[::getpid() + 2] = before.at(::getpid());
  EXPECT_EQ(threads.all, after);
}

TEST(Affinity, FailsIfTheKernelTakesCpusAway) {
  Threads threads;
  const auto before = threads.all;
  threads.cpuset = {0, 1, 2, 3, 4};
  auto governor = AffinityGovernor::open({}, machine_with(big_little()), threads.calls()).value();
  const auto applied = governor->apply(1);
  EXPECT_EQ(applied.error().code, core::Errc::refused);
  EXPECT_NE(applied.error().hint.find("cpuset"), std::string::npos);
  threads.cpuset.push_back(5);
  governor.reset();
  EXPECT_EQ(threads.all, before);
}

TEST(Affinity, IsNoKnobWhereCpusAreAlike) {
  const auto machine = machine_with(std::make_shared<FakeKernel>());
  EXPECT_EQ(AffinityGovernor::open({}, machine).error().code, core::Errc::unsupported);
  EXPECT_EQ(AffinityGovernor::open({core::edge_host, {{"none", {}}}}, machine).error().code,
            Errc::invalid_argument);
}

TEST(Affinity, HoldsOnThisMachine) {
  cpu_set_t now;
  ASSERT_EQ(::sched_getaffinity(0, sizeof now, &now), 0);
  int mine = 0;
  while (!CPU_ISSET(mine, &now)) ++mine;
  auto governor = AffinityGovernor::open({core::edge_host, {{"one", {mine}}}}).value();
  ASSERT_TRUE(governor->apply(0));
  EXPECT_EQ(::sched_getcpu(), mine);
  int there = -1;
  std::thread([&] { there = ::sched_getcpu(); }).join();
  EXPECT_EQ(there, mine);
  ASSERT_TRUE(governor->restore());
  cpu_set_t after;
  ASSERT_EQ(::sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&now, &after));
}

}  // namespace
}  // namespace cleave::device_tests
