// What outcomes, flags and disturbances mean, in words; docs/results.md says the same at length.

export const FLAGS = {
  few_samples: "A step is so slow that a process took fewer samples than it should.",
  no_steady_state:
    "The time of a step still changed when the warm-up ended, or while it was sampled.",
  impossible:
    "Faster than the device's ceiling allows for the work that is declared; it is not compared.",
  window_too_short: "The meter's shortest window could not be filled.",
  steal: "The hypervisor gave processor time to others while samples were taken.",
  preempted: "The scheduler took the worker off its processor while samples were taken.",
  pressure: "Other work of the machine made tasks wait for a processor, memory or a disk.",
  thinned: "Samples were dropped from the store to save space.",
  bad_input: "The reason is something that whoever started the run can mend.",
  imported: "Measured by another tool; nothing verified the output.",
  summary_only: "The imported file held no rounds; the value is their median.",
  whole_process: "The imported peak is of the whole process, interpreter included.",
  other_timer: "The imported times are of another timer than the clock.",
  wrap_ambiguous: "The energy counter may have wrapped around more than once.",
};

export const OUTCOMES = {
  ok: "verified and measured",
  skipped: "could not run here",
  failed: "an exception, or an output that its verification rejected; it was never timed",
  crashed: "the worker ended by a signal, or without an answer",
  out_of_memory: "an allocation failed, or the kernel killed the worker for lack of memory",
  timeout: "ran longer than it may; the worker and its children were killed",
};

export const NOISE = {
  steal_s: ["processor time that the hypervisor gave to others", "s"],
  involuntary_switches: ["times that the worker was taken off a processor", ""],
  cpu_stall_s: ["time in which some task waited for a processor", "s"],
  memory_stall_s: ["time in which some task waited for memory", "s"],
  io_stall_s: ["time in which some task waited for a disk", "s"],
  load1: ["load average of the last minute", ""],
};

export const STATUSES = {
  measured: "read from a meter",
  integrated: "summed from readings of power",
  modelled: "estimated by a model, not read",
  unavailable: "cannot be measured here",
  unresolvable: "a step is too short to be told from the harness's own cost",
};
