// Five machines' sysfs and procfs. Each is a reconstruction: names, units and formats of its files
// are those of the kernel documents and drivers named with it, values are possible ones (multiples
// of a sensor's step, consistent with each other) and, where a published listing is named, its own.
// What could not be held against a document says so. Nobody has copied a real machine's tree.
#pragma once

#include "tests/device/fake_kernel.hpp"

#include <cleave/core/clock.hpp>

#include <map>
#include <memory>
#include <string>

namespace cleave::device_tests {

using Tree = std::map<std::string, std::string>;

inline void put_all(FakeKernel& kernel, const std::string& folder, const Tree& files) {
  for (const auto& [name, text] : files) kernel.put(folder + "/" + name, text);
}

inline void put_cpus(FakeKernel& kernel, int cpus, const std::string& model) {
  std::string stat = "cpu  10 0 10 100 0 0 0 0 0 0";
  for (int i = 0; i < cpus; ++i) stat += "\ncpu" + std::to_string(i) + " 1 0 1 10 0 0 0 0 0 0";
  kernel.put("/proc/stat", stat);
  kernel.put("/proc/cpuinfo", model);
  kernel.put("/proc/loadavg", "0.05 0.10 0.10 1/200 1000");
  kernel.put("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB");
}

/// A laptop with an Intel hybrid processor, on battery.
/// - Documentation/admin-guide/pm/cpufreq.rst: the files of a policy, in kHz; intel_pstate offers
/// its
///   own two algorithms in the place of governors.
/// - Documentation/power/powercap/powercap.rst: the zones, energy_uj and max_energy_range_uj in
///   microjoules. The range is that of 32 bits of 61.035 uJ, as drivers/powercap/
///   intel_rapl_common.c rounds it. psys and the MMIO interface are zones of their own.
/// - Documentation/ABI/testing/sysfs-class-power: type, status, present, microvolts, percent;
///   power_now and energy_now are in microwatts and microwatt-hours (Documentation/power/
///   power_supply_class.rst).
/// - drivers/power/supply/power_supply_hwmon.c: each supply is a hwmon device of its name, in
///   millivolts; power1_input only in kernels whose driver maps POWER_NOW.
/// - Documentation/admin-guide/perf/intel-hybrid.rst (cpu_core, cpu_atom): not seen; the names are
///   from memory.
inline void laptop(FakeKernel& kernel) {
  put_cpus(kernel, 4, "processor\t: 0\nmodel name\t: Hybrid Laptop CPU");
  for (int cpu = 0; cpu < 4; ++cpu) {
    const bool efficient = cpu >= 2;
    const std::string most = efficient ? "3300000" : "4400000";
    put_all(kernel, "/sys/devices/system/cpu/cpufreq/policy" + std::to_string(cpu),
            {{"affected_cpus", std::to_string(cpu)},
             {"cpuinfo_min_freq", "400000"},
             {"cpuinfo_max_freq", most},
             {"scaling_available_governors", "performance powersave"},
             {"scaling_driver", "intel_pstate"},
             {"scaling_governor", "powersave"},
             {"scaling_min_freq", "400000"},
             {"scaling_max_freq", most},
             {"scaling_cur_freq", "1234567"},
             {"scaling_setspeed", "<unsupported>"}});
  }
  kernel.put("/sys/devices/system/cpu/intel_pstate/status", "active");
  kernel.put("/sys/devices/system/cpu/intel_pstate/no_turbo", "0");
  kernel.put("/sys/devices/cpu_core/cpus", "0-1");
  kernel.put("/sys/devices/cpu_atom/cpus", "2-3");
  const std::string range = "262143328850";
  for (const auto& [zone, name] :
       std::map<std::string, std::string>{{"intel-rapl:0", "package-0"},
                                          {"intel-rapl:0:0", "core"},
                                          {"intel-rapl:0:1", "uncore"},
                                          {"intel-rapl:1", "psys"},
                                          {"intel-rapl-mmio:0", "package-0"}})
    put_all(kernel, "/sys/class/powercap/" + zone,
            {{"name", name}, {"energy_uj", "1000000"}, {"max_energy_range_uj", range}});
  put_all(kernel, "/sys/class/power_supply/AC", {{"type", "Mains"}, {"online", "0"}});
  put_all(kernel, "/sys/class/power_supply/BAT0",
          {{"type", "Battery"},
           {"status", "Discharging"},
           {"present", "1"},
           {"voltage_now", "11850000"},
           {"power_now", "9480000"},
           {"energy_now", "38200000"},
           {"energy_full", "50450000"},
           {"capacity", "75"}});
  put_all(kernel, "/sys/class/hwmon/hwmon0", {{"name", "AC"}});
  put_all(kernel, "/sys/class/hwmon/hwmon1",
          {{"name", "BAT0"}, {"in0_input", "11850"}, {"power1_input", "9480000"}});
  put_all(kernel, "/sys/class/hwmon/hwmon2", {{"name", "coretemp"}, {"temp1_input", "52000"}});
  put_all(kernel, "/sys/class/thermal/thermal_zone0",
          {{"type", "x86_pkg_temp"}, {"temp", "52000"}});
}

/// A Raspberry Pi 4 with an INA219 on its supply line.
/// - Frequencies: users' listings of scaling_available_frequencies show 600000 to 1800000 in steps
/// of
///   100000; this is the older firmware, which stops at 1500000.
/// - drivers/hwmon/ina2xx.c: in0_input is the shunt's voltage and in1_input the bus's, in mV (steps
///   of 4 mV), curr1_input in mA (steps of 1 mA), power1_input in uW (steps of 20 mW),
///   shunt_resistor in uOhm; an INA219 has no update_interval. 800 mA make 80 mV at 0.1 Ohm.
/// - drivers/hwmon/raspberrypi-hwmon.c: rpi_volt with in0_lcrit_alarm (Linux of 2026 adds
/// voltages).
/// - The temperature is 410040 - 487 n, in thousandths of a degree (arch/arm/boot/dts/broadcom/
///   bcm2711.dtsi, cpu_thermal; drivers/thermal/broadcom/bcm2711_thermal.c).
/// - The list of governors: Documentation/admin-guide/pm/cpufreq.rst; their order is from memory.
inline void raspberry_pi_4(FakeKernel& kernel) {
  put_cpus(kernel, 4, "processor\t: 0\nBogoMIPS\t: 108.00");
  kernel.put("/proc/device-tree/model", std::string("Raspberry Pi 4 Model B Rev 1.1\0", 31));
  put_all(kernel, "/sys/devices/system/cpu/cpufreq/policy0",
          {{"affected_cpus", "0 1 2 3"},
           {"cpuinfo_min_freq", "600000"},
           {"cpuinfo_max_freq", "1500000"},
           {"scaling_available_frequencies",
            "600000 700000 800000 900000 1000000 1100000 1200000 1300000 1400000 1500000"},
           {"scaling_available_governors",
            "conservative ondemand userspace powersave performance schedutil"},
           {"scaling_driver", "cpufreq-dt"},
           {"scaling_governor", "ondemand"},
           {"scaling_min_freq", "600000"},
           {"scaling_max_freq", "1500000"},
           {"scaling_setspeed", "<unsupported>"}});
  put_all(kernel, "/sys/class/hwmon/hwmon0", {{"name", "cpu_thermal"}, {"temp1_input", "48199"}});
  put_all(kernel, "/sys/class/hwmon/hwmon1", {{"name", "rpi_volt"}, {"in0_lcrit_alarm", "0"}});
  put_all(kernel, "/sys/class/hwmon/hwmon2",
          {{"name", "ina219"},
           {"in0_input", "80"},
           {"in1_input", "5000"},
           {"curr1_input", "800"},
           {"power1_input", "4000000"},
           {"shunt_resistor", "100000"}});
  put_all(kernel, "/sys/class/thermal/thermal_zone0", {{"type", "cpu-thermal"}, {"temp", "48199"}});
}

/// A Jetson Orin Nano.
/// - arch/arm64/boot/dts/nvidia/tegra234-p3767.dtsi: the INA3221's rails VDD_IN, VDD_CPU_GPU_CV and
///   VDD_SOC, with 5 mOhm each.
/// - drivers/hwmon/ina3221.c, Documentation/hwmon/ina3221.rst: in[123]_input in mV (steps of 8),
///   curr[123]_input in mA (steps of 40 uV / 5 mOhm = 8), in[456]_input the shunts in uV, in7_input
///   and curr4_input their sums, curr4 since the three resistors are equal (it is no rail, though
///   there is an in4_input); 3 channels of 1 sample of 2 * 1.1 ms make an update_interval of 7.
/// - Documentation/ABI/testing/sysfs-class-devfreq: Hz, and ms for polling_interval.
/// - The clocks: tegrastats' output of Orin Nanos in public logs names 729, 1036 and 1510 MHz of
/// the
///   CPU, 306 and 612 MHz of the GPU; NVIDIA's guide gives 625 MHz as its highest. The GPU's steps
///   of 102 MHz are those of a listing of an Orin NX. The device's name and its list of governors
///   come from users' texts; on JetPack 5 it is 17000000.ga10b. That CPUs 4 and 5 are policy4 was
///   not seen in writing.
inline void jetson(FakeKernel& kernel) {
  put_cpus(kernel, 6, "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)");
  kernel.put("/proc/device-tree/model", std::string("NVIDIA Jetson Orin Nano Developer Kit\0", 38));
  for (const char* policy : {"policy0", "policy4"})
    put_all(kernel, std::string("/sys/devices/system/cpu/cpufreq/") + policy,
            {{"cpuinfo_min_freq", "115200"},
             {"cpuinfo_max_freq", "1510400"},
             {"scaling_available_frequencies", "115200 729600 1036800 1510400"},
             {"scaling_available_governors",
              "interactive conservative ondemand userspace powersave performance schedutil"},
             {"scaling_governor", "schedutil"},
             {"scaling_min_freq", "729600"},
             {"scaling_max_freq", "1510400"},
             {"scaling_setspeed", "<unsupported>"}});
  put_all(kernel, "/sys/class/devfreq/17000000.gpu",
          {{"available_frequencies", "306000000 408000000 510000000 612000000 624750000"},
           {"available_governors", "nvhost_podgov userspace performance simple_ondemand"},
           {"governor", "nvhost_podgov"},
           {"cur_freq", "306000000"},
           {"target_freq", "306000000"},
           {"min_freq", "306000000"},
           {"max_freq", "624750000"},
           {"polling_interval", "50"}});
  put_all(kernel, "/sys/class/hwmon/hwmon1",
          {{"name", "ina3221"},
           {"in1_label", "VDD_IN"},
           {"in1_enable", "1"},
           {"in1_input", "5008"},
           {"curr1_input", "912"},
           {"in2_label", "VDD_CPU_GPU_CV"},
           {"in2_enable", "1"},
           {"in2_input", "5000"},
           {"curr2_input", "160"},
           {"in3_label", "VDD_SOC"},
           {"in3_enable", "1"},
           {"in3_input", "5000"},
           {"curr3_input", "280"},
           {"in4_input", "4560"},
           {"in5_input", "800"},
           {"in6_input", "1400"},
           {"in7_label", "sum of shunt voltages"},
           {"in7_input", "6760"},
           {"curr4_input", "1352"},
           {"shunt1_resistor", "5000"},
           {"shunt2_resistor", "5000"},
           {"shunt3_resistor", "5000"},
           {"samples", "1"},
           {"update_interval", "7"}});
  put_all(kernel, "/sys/class/thermal/thermal_zone0", {{"type", "cpu-thermal"}, {"temp", "45000"}});
}

/// A two-socket AMD server.
/// - The clocks, their limits and the governors: a published listing of `cpupower frequency-info`
///   under acpi-cpufreq ("2.25 GHz, 2.00 GHz, 1.50 GHz", hardware limits 1.50 to 3.42 GHz, the
///   policy within 1.50 and 2.25 GHz). boost: Documentation/admin-guide/pm/cpufreq.rst.
/// - RAPL of AMD appears as intel-rapl, with package and core; the range is that of 32 bits of
///   15.258 uJ (Documentation/hwmon/amd_energy.rst: 1/2^16 J).
/// - drivers/hwmon/amd_energy.c: energyN_input in uJ, labels Ecore%03u, then Esocket%u.
/// - drivers/hwmon/acpi_power_meter.c: power1_average in uW, its interval in ms, power1_accuracy as
///   written here; the averaging is the firmware's.
inline void amd_server(FakeKernel& kernel) {
  put_cpus(kernel, 4, "processor\t: 0\nmodel name\t: AMD EPYC");
  for (int cpu = 0; cpu < 4; ++cpu)
    put_all(kernel, "/sys/devices/system/cpu/cpufreq/policy" + std::to_string(cpu),
            {{"cpuinfo_min_freq", "1500000"},
             {"cpuinfo_max_freq", "3420000"},
             {"scaling_available_frequencies", "2250000 2000000 1500000"},
             {"scaling_available_governors",
              "conservative ondemand userspace powersave performance schedutil"},
             {"scaling_driver", "acpi-cpufreq"},
             {"scaling_governor", "schedutil"},
             {"scaling_min_freq", "1500000"},
             {"scaling_max_freq", "2250000"},
             {"scaling_setspeed", "<unsupported>"}});
  kernel.put("/sys/devices/system/cpu/cpufreq/boost", "1");
  for (const auto& [zone, name] : std::map<std::string, std::string>{{"intel-rapl:0", "package-0"},
                                                                     {"intel-rapl:0:0", "core"},
                                                                     {"intel-rapl:1", "package-1"},
                                                                     {"intel-rapl:1:0", "core"}})
    put_all(kernel, "/sys/class/powercap/" + zone,
            {{"name", name}, {"energy_uj", "65532000000"}, {"max_energy_range_uj", "65532610987"}});
  Tree energy{{"name", "amd_energy"}};
  for (int core = 1; core <= 4; ++core) {
    energy["energy" + std::to_string(core) + "_label"] = "Ecore00" + std::to_string(core - 1);
    energy["energy" + std::to_string(core) + "_input"] = "1000000";
  }
  for (int socket = 0; socket < 2; ++socket) {
    energy["energy" + std::to_string(5 + socket) + "_label"] = "Esocket" + std::to_string(socket);
    energy["energy" + std::to_string(5 + socket) + "_input"] = "9000000";
  }
  put_all(kernel, "/sys/class/hwmon/hwmon0", energy);
  put_all(kernel, "/sys/class/hwmon/hwmon1",
          {{"name", "power_meter"},
           {"power1_average", "310000000"},
           {"power1_average_interval", "1000"},
           {"power1_accuracy", "95.0%"}});
}

/// One of them, or a machine with nothing.
struct FakeMachine {
  std::shared_ptr<FakeKernel> kernel = std::make_shared<FakeKernel>();
  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  TemporaryFolder state;

  explicit FakeMachine(void (*fill)(FakeKernel&) = nullptr) {
    if (fill != nullptr)
      fill(*kernel);
  }
  /// Everything there is, to compare before and after.
  [[nodiscard]] std::string snapshot() const {
    // cpufreq.rst: under another governor the file reads so, whatever was written under userspace.
    for (auto& [path, text] : kernel->files)
      if (path.ends_with("/scaling_setspeed") &&
          kernel->files[fs::path(path).replace_filename("scaling_governor").string()] !=
              "userspace")
        text = "<unsupported>";
    return kernel->snapshot();
  }
  [[nodiscard]] device::Machine machine() const { return machine_on(kernel); }
};

}  // namespace cleave::device_tests
