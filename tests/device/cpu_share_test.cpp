#include "tests/device/fake_kernel.hpp"

#include <cleave/device/cpu_share.hpp>
#include <cleave/device/journal.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace cleave::device_tests {
namespace {

using device::CpuShareGovernor;
using device::CpuShareOptions;
using device::Machine;

const std::vector<core::Level> levels{{"600 MHz", 0.16}, {"1500 MHz", 0.4}};

struct Fixture {
  std::shared_ptr<FakeKernel> kernel = std::make_shared<FakeKernel>();
  TemporaryFolder state;
  std::string me = std::to_string(::getpid());

  Machine machine() {
    Machine machine;
    machine.cgroup = "/cg";
    machine.proc = "/proc";
    machine.files = kernel;
    return machine;
  }
  CpuShareOptions options() {
    CpuShareOptions options;
    options.levels = levels;
    options.state_dir = state.path();
    return options;
  }
  void version_1() {
    kernel->mount_v1("/cg/cpu,cpuacct", {"1", me});
    kernel->put("/proc/self/cgroup", "4:memory:/elsewhere\n3:cpu,cpuacct:/\n0::/");
  }
  // As systemd lays it out for a login of root: the root hands cpu down, the session does not.
  void version_2() {
    kernel->mount_v2("/cg", "cpu memory");
    kernel->add_group("/cg/user", {"1"});
    kernel->add_group("/cg/user/session", {me, "77"});
    kernel->put("/proc/self/cgroup", "0::/user/session");
  }
  // systemd-run --user --scope -p Delegate=yes
  void delegated() {
    kernel->mount_v2("/cg", "");
    kernel->add_group("/cg/scope", {me});
    kernel->files["/cg/cgroup.subtree_control"] = "cpu";
    kernel->denied.insert("/cg");
    kernel->put("/proc/self/cgroup", "0::/scope");
  }
};

TEST(Quota, IsAtLeastAMillisecondOfTheShortestPeriod) {
  const auto half = device::quota_for(0.5, core::milliseconds(5));
  EXPECT_EQ(half.quota_us, 2500);
  EXPECT_EQ(half.period_us, 5000);
  const auto tenth = device::quota_for(0.1, core::milliseconds(5));
  EXPECT_EQ(tenth.quota_us, 1000);
  EXPECT_EQ(tenth.period_us, 10000);
  const auto two = device::quota_for(2, core::milliseconds(5));
  EXPECT_EQ(two.quota_us, 10000);
  EXPECT_EQ(device::quota_for(1e-6, core::milliseconds(5)).period_us, 1'000'000);
}

TEST(Quota, IsCloseToTheShareForEveryShare) {
  for (int i = 1; i <= 2000; ++i) {
    const double share = i / 1000.0;
    const auto quota = device::quota_for(share, core::milliseconds(5));
    EXPECT_NEAR(quota.share() / share, 1, 1e-3) << share;
    EXPECT_GE(quota.quota_us, 1000) << share;
    EXPECT_LE(quota.period_us, 1'000'000) << share;
    EXPECT_EQ(quota.period_us % 1000, 0) << share;
  }
}

TEST(CpuShare, MovesTheProcessIntoAGroupWithTheQuotaAndBack) {
  Fixture f;
  f.version_1();
  const std::string before = f.kernel->snapshot();
  auto governor = CpuShareGovernor::open(f.options(), f.machine());
  ASSERT_TRUE(governor) << governor.error().message();
  EXPECT_EQ((*governor)->cgroup_version(), 1);
  EXPECT_EQ((*governor)->current().value(), std::nullopt);
  EXPECT_EQ(f.kernel->snapshot(), before) << "opening changes nothing";

  ASSERT_TRUE((*governor)->apply(1));
  const std::string group = (*governor)->group().string();
  EXPECT_TRUE(group.starts_with("/cg/cpu,cpuacct/cleave-" + f.me + "-")) << group;
  EXPECT_TRUE(f.kernel->members(group).contains(f.me));
  EXPECT_EQ(f.kernel->files[group + "/cpu.cfs_quota_us"], "2000");
  EXPECT_EQ(f.kernel->files[group + "/cpu.cfs_period_us"], "5000");
  EXPECT_EQ((*governor)->current().value(), 1);

  ASSERT_TRUE((*governor)->apply(0));
  EXPECT_EQ((*governor)->group().string(), group);
  EXPECT_EQ(f.kernel->files[group + "/cpu.cfs_quota_us"], "1120");
  EXPECT_EQ(f.kernel->files[group + "/cpu.cfs_period_us"], "7000");

  ASSERT_TRUE((*governor)->restore());
  EXPECT_EQ(f.kernel->snapshot(), before);
  EXPECT_EQ((*governor)->current().value(), std::nullopt);
  ASSERT_TRUE((*governor)->apply(1)) << "restore may be followed by another apply";
  governor->reset();
  EXPECT_EQ(f.kernel->snapshot(), before) << "the destructor restores";
  EXPECT_EQ(f.state.size(), 0u) << "no journal is left";
}

TEST(CpuShare, GivesEveryThreadItsShareOfACore) {
  Fixture f;
  f.version_1();
  auto governor = CpuShareGovernor::open(f.options(), f.machine()).value();
  ASSERT_TRUE(governor->apply(1));
  ASSERT_TRUE(governor->set_parallelism(2));
  EXPECT_EQ(f.kernel->files[governor->group().string() + "/cpu.cfs_quota_us"], "4000");
  EXPECT_EQ(governor->current().value(), 1);
  EXPECT_EQ(governor->set_parallelism(0).error().code, Errc::invalid_argument);
}

TEST(CpuShare, CanLimitSingleThreads) {
  Fixture f;
  f.version_1();
  f.kernel->add_group("/cg/cpu,cpuacct", {"1", f.me});
  auto options = f.options();
  options.threads = {4242};
  auto governor = CpuShareGovernor::open(options, f.machine()).value();
  EXPECT_EQ(governor->apply(0).error().code, Errc::not_found) << "there is no such thread";
  EXPECT_EQ(
      f.kernel->list("/cg/cpu,cpuacct"),
      (std::vector<std::string>{"cgroup.procs", "cpu.cfs_period_us", "cpu.cfs_quota_us", "tasks"}));
}

TEST(CpuShare, UsesTheNearestGroupThatHandsTheControllerDown) {
  Fixture f;
  f.version_2();
  const std::string before = f.kernel->snapshot();
  auto governor = CpuShareGovernor::open(f.options(), f.machine()).value();
  EXPECT_EQ(governor->cgroup_version(), 2);
  ASSERT_TRUE(governor->apply(1));
  EXPECT_TRUE(governor->group().string().starts_with("/cg/cleave-"));
  EXPECT_EQ(f.kernel->files[governor->group().string() + "/cpu.max"], "2000 5000");
  EXPECT_TRUE(f.kernel->members(governor->group().string()).contains(f.me));
  EXPECT_EQ(governor->current().value(), 1);
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(f.kernel->snapshot(), before);
  EXPECT_TRUE(f.kernel->members("/cg/user/session").contains(f.me));
}

TEST(CpuShare, WorksInADelegatedScopeThatHoldsOnlyThisProcess) {
  Fixture f;
  f.delegated();
  const std::string before = f.kernel->snapshot();
  auto governor = CpuShareGovernor::open(f.options(), f.machine());
  ASSERT_TRUE(governor) << governor.error().message();
  const auto applied = (*governor)->apply(0);
  ASSERT_TRUE(applied) << applied.error().message();
  EXPECT_TRUE((*governor)->group().string().starts_with("/cg/scope/cleave-"));
  EXPECT_EQ(f.kernel->files["/cg/scope/cgroup.subtree_control"], "cpu");
  ASSERT_TRUE((*governor)->restore());
  EXPECT_EQ(f.kernel->snapshot(), before);
}

TEST(CpuShare, SaysHowToGetPermission) {
  Fixture f;
  f.delegated();
  f.kernel->add_group("/cg/scope", {f.me, "99"});
  const auto governor = CpuShareGovernor::open(f.options(), f.machine());
  ASSERT_FALSE(governor);
  EXPECT_EQ(governor.error().code, Errc::permission_denied);
  EXPECT_NE(governor.error().hint.find("systemd-run"), std::string::npos);

  Fixture v1;
  v1.version_1();
  v1.kernel->denied.insert("/cg/cpu,cpuacct");
  EXPECT_EQ(CpuShareGovernor::open(v1.options(), v1.machine()).error().code,
            Errc::permission_denied);
}

TEST(CpuShare, IsUnsupportedWithoutACpuController) {
  Fixture f;
  f.kernel->put("/cg/memory/cgroup.procs", "");
  f.kernel->put("/cg/unified/cgroup.controllers", "io memory");
  EXPECT_EQ(CpuShareGovernor::open(f.options(), f.machine()).error().code, Errc::unsupported);
}

TEST(CpuShare, RefusesSharesThatAreNone) {
  Fixture f;
  f.version_1();
  for (const auto& bad : std::vector<std::vector<core::Level>>{{},
                                                               {{"0", 0}},
                                                               {{"-1", -1}},
                                                               {{"2", 2}},
                                                               {{"a", 0.5}, {"b", 0.5}},
                                                               {{"nan", std::nan("")}}}) {
    auto options = f.options();
    options.levels = bad;
    EXPECT_EQ(CpuShareGovernor::open(options, f.machine()).error().code, Errc::invalid_argument);
  }
  auto governor = CpuShareGovernor::open(f.options(), f.machine()).value();
  EXPECT_EQ(governor->apply(2).error().code, Errc::invalid_argument);
}

TEST(CpuShare, ReportsAQuotaThatTheKernelIgnored) {
  Fixture f;
  f.version_1();
  const std::string before = f.kernel->snapshot();
  f.kernel->ignored.insert("/cg/cpu,cpuacct/cleave-" + f.me + "-0/cpu.cfs_quota_us");
  auto governor = CpuShareGovernor::open(f.options(), f.machine()).value();
  EXPECT_EQ(governor->apply(1).error().code, Errc::refused);
  EXPECT_EQ(f.kernel->snapshot(), before);
}

TEST(CpuShare, ReportsAProcessThatDidNotMove) {
  Fixture f;
  f.version_1();
  f.kernel->ignored.insert("/cg/cpu,cpuacct/cleave-" + f.me + "-0/cgroup.procs");
  auto governor = CpuShareGovernor::open(f.options(), f.machine()).value();
  EXPECT_EQ(governor->apply(1).error().code, Errc::refused);
}

TEST(CpuShare, TakesTheNextNameIfAGroupIsThereAlready) {
  Fixture f;
  f.version_1();
  f.kernel->add_group("/cg/cpu,cpuacct/cleave-" + f.me + "-0", {"5"});
  auto governor = CpuShareGovernor::open(f.options(), f.machine()).value();
  ASSERT_TRUE(governor->apply(0));
  EXPECT_TRUE(governor->group().string().ends_with("-1"));
}

TEST(CpuShare, IsLimitedOnceAtATime) {
  Fixture f;
  f.version_1();
  auto first = CpuShareGovernor::open(f.options(), f.machine()).value();
  auto second = CpuShareGovernor::open(f.options(), f.machine()).value();
  ASSERT_TRUE(first->apply(0));
  EXPECT_EQ(second->apply(0).error().code, Errc::in_use);
  ASSERT_TRUE(first->restore());
  EXPECT_TRUE(second->apply(0));
}

// Whichever operation fails, the machine is as before once the governor is gone or, if undoing was
// what failed, once the next start has recovered.
TEST(CpuShare, LeavesNothingBehindWhereverItFails) {
  for (const auto& lay_out : {&Fixture::version_1, &Fixture::version_2, &Fixture::delegated}) {
    bool succeeded = false;
    for (int n = 0; !succeeded; ++n) {
      ASSERT_LT(n, 100);
      Fixture f;
      (f.*lay_out)();
      const std::string before = f.kernel->snapshot();
      f.kernel->fail_at = n;
      {
        auto governor = CpuShareGovernor::open(f.options(), f.machine()).value();
        succeeded = governor->apply(0) && governor->apply(1) && governor->restore();
      }
      const auto recovery = device::recover(f.state.path(), f.kernel);
      EXPECT_TRUE(recovery.errors.empty());
      EXPECT_EQ(f.kernel->snapshot(), before) << "after operation " << n << " failed";
      EXPECT_EQ(f.state.size(), 0u);
    }
  }
}

}  // namespace
}  // namespace cleave::device_tests
