"""Which complaints and defects of similar projects are regression tests here, by number.

The numbers are those of a survey of open issues of projects that serve models on EKS (2026-11): P1 to P25 are what
their users complain about, R1 to R25 are defects that were found in their code. A reason instead of tests means that
this program does not have the part in which the defect lives.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.sources import sources

Answer = tuple[str, ...] | str
"""Names of tests, or the reason why there is none."""

NO_SCALER = "nothing scales models automatically yet: replicas are fixed by the plan"
NO_DASHBOARD = "no dashboard, alert or query is shipped yet"

PAINS: dict[str, Answer] = {
    "P1 probes kill big models while they load": (
        "test_probes_wait_for_the_cold_start_and_the_engine_gives_up_first",
        "test_every_server_has_three_probes_and_the_startup_one_waits_longest",
    ),
    "P2 a cache on EFS makes starts slower": (
        "test_weights_arrive_at_the_slower_of_storage_and_network",
        "test_the_file_system_is_encrypted_elastic_and_never_tiered",
    ),
    "P3 every pod downloads from the hub": (
        "test_servers_download_nothing_and_report_to_nobody",
        "test_the_preloader_writes_where_the_servers_read",
    ),
    "P4 heads must be divisible by TP": ("test_heads_must_divide", "test_kv_heads_must_split_or_copy_evenly"),
    "P5 the context is longer than the KV cache": (
        "test_the_named_length_fits_and_a_block_more_does_not",
        "test_memory_is_what_cuda_reports_not_what_is_sold",
    ),
    "P6 which instance do I need": ("test_every_rejection_has_two_numbers_and_a_text_that_follows_from_them",),
    "P7 pods pending for ever, quota is zero": (
        "test_every_quota_that_nodes_use_up_is_named",
        "test_the_quota_covers_the_limit_of_the_pool",
    ),
    "P8 a shortage of one type or zone blocks": (
        "test_alternates_run_the_same_pods",
        "test_gpu_pools_span_zones",
        "test_a_chain_buys_in_its_order",
    ),
    "P9 reservations that are silently not used": (
        "test_a_reservation_is_selected_by_the_node_class",
        "test_each_mistake_is_named",
        "test_a_block_has_no_way_around_its_end",
    ),
    "P10 consolidation evicts GPU pods": (
        "test_busy_nodes_are_only_taken_inside_a_window",
        "test_every_pod_of_ours_says_that_it_must_not_be_moved",
    ),
    "P11 a new AMI replaces the fleet": (
        "test_images_charts_and_amis_are_pinned",
        "test_a_new_ami_changes_node_classes_and_waits_for_a_window",
    ),
    "P12 nodes that never become usable": (
        "test_every_startup_taint_is_taken_away_by_something_installed",
        "test_every_operand_of_the_gpu_operator_reaches_gpu_nodes",
    ),
    "P13 driver and toolkit twice": ("test_nothing_is_installed_that_the_ami_already_has",),
    "P14 two DCGM engines, healthy nodes replaced": (
        "test_one_host_engine_owns_the_port",
        "test_gpu_health_is_measured_where_gpus_are",
    ),
    "P15 broken GPUs hang serving": (
        "test_gates_are_what_the_pools_use",
        "test_every_server_has_three_probes_and_the_startup_one_waits_longest",
    ),
    "P16 EFA needs one layout, one zone": (
        "test_layouts_have_every_interface_of_the_type",
        "test_efa_nodes_talk_to_each_other_and_have_no_public_address",
        "test_it_runs_on_tainted_nodes_of_its_types_only",
        "test_efa_reaches_nodes_plugin_and_pods",
    ),
    "P17 several nodes hang": ("test_several_nodes_only_where_one_does_not_fit",),
    "P18 scaled to zero while the model loads": NO_SCALER,
    "P19 an empty query scales nothing": NO_SCALER,
    "P20 renamed metrics": NO_DASHBOARD,
    "P21 requests dropped on rollout or spot": (
        "test_every_pod_on_a_pool_can_end_within_its_nodes_grace",
        "test_draining_a_node_leaves_the_pods_their_time",
    ),
    "P22 destroy hangs, orphans bill on": (
        "test_the_stack_is_taken_apart_from_the_top",
        "test_what_holds_a_side_effect_goes_first",
        "test_every_kind_that_is_left_is_found",
    ),
    "P23 custom resources before their definitions": ("test_custom_resources_need_the_release_of_their_definition",),
    "P24 the API key covers a part only": (
        "test_only_named_namespaces_reach_the_servers",
        "test_nobody_is_let_in_where_nobody_is_named",
    ),
    "P25 image and disk make the start": (
        "test_images_are_pulled_in_parallel_where_the_type_benefits",
        "test_the_root_volume_holds_two_images_and_logs",
        "test_requests_leave_room_for_the_daemonsets",
    ),
}

DEFECTS: dict[str, Answer] = {
    "R1 a configured type is dropped": (
        "test_every_input_reaches_the_manifests",
        "test_every_setting_of_a_pool_reaches_a_node_pool",
    ),
    "R2 a limit below one node": (
        "test_limits_have_room_for_every_replica_and_one_node_more",
        "test_a_limit_below_one_node_is_refused",
    ),
    "R3 arm64 GPUs are admitted": ("test_gpu_pools_launch_only_types_that_can_serve", "test_each_mistake_is_named"),
    "R4 GPU nodes in one zone": ("test_gpu_pools_span_zones",),
    "R5 requests that do not fit the node": (
        "test_requests_leave_room_for_the_daemonsets",
        "test_requests_are_limits_for_gpus_and_memory_and_fit_every_type",
    ),
    "R6 a query with a label that does not exist": NO_SCALER,
    "R7 diverging dashboards": NO_DASHBOARD,
    "R8 503 from zero": ("test_a_model_never_sleeps_without_someone_to_hold_its_requests",),
    "R9 startup budgets flat, too short or too long": ("test_budgets_neither_kill_good_starts_nor_hide_bad_ones",),
    "R10 no probes": ("test_every_server_has_three_probes_and_the_startup_one_waits_longest",),
    "R11 installs at start": ("test_nothing_is_installed_when_a_server_starts",),
    "R12 weights tiered away": ("test_the_cache_is_shared_and_never_tiered",),
    "R13 a cache for one node": ("test_the_cache_is_shared_and_never_tiered",),
    "R14 a public load balancer": ("test_nothing_is_reachable_from_the_internet",),
    "R15 privileged containers": (
        "test_no_pod_is_privileged_or_runs_code_of_a_model",
        "test_pods_are_as_confined_as_the_restricted_standard_asks",
    ),
    "R16 default secrets": ("test_no_credential_is_shipped", "test_secrets_are_made_and_named_only_where_they_are_set"),
    "R17 latest": ("test_images_charts_and_amis_are_pinned", "test_latest_is_for_development_only"),
    "R18 spot without a queue": ("test_spot_anywhere_has_its_queue", "test_spot_always_has_its_queue"),
    "R19 tables with keys that AWS never uses": ("test_tables_are_keyed_on_what_aws_really_has",),
    "R20 MLA divided by TP": ("test_mla_tokens_do_not_depend_on_tp",),
    "R21 clean-up of what others own": ("test_what_others_own_is_never_listed", "test_a_sweep_only_reads"),
    "R22 swapped defaults": (
        "test_defaults_pass_the_checks_of_what_a_user_writes",
        "test_pulumi_yaml_declares_what_the_program_reads",
    ),
    "R23 checks that are ignored": ("test_a_refused_stack_registers_nothing_and_tells_all",),
    "R24 Kubernetes past its support": (
        "test_the_end_of_support_is_announced_then_enforced",
        "test_a_kubernetes_version_near_its_end_is_announced_and_past_it_refused",
    ),
    "R25 resources inside apply": ("test_no_resource_is_created_in_apply",),
}


def _tests() -> Iterator[str]:
    for source in sources("tests"):
        yield from (node.name for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("numbered", [PAINS, DEFECTS], ids=["pains", "defects"])
def test_every_number_has_its_tests_or_a_reason(numbered: dict[str, Answer]) -> None:
    """Prevents a table that names tests which were renamed or removed."""
    there = set(_tests())
    assert [key.split()[0][1:] for key in numbered] == [str(number) for number in range(1, 26)]
    for what, answer in numbered.items():
        assert answer
        if not isinstance(answer, str):
            assert not [name for name in answer if name not in there], what
