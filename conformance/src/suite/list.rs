//! The list of all scenarios: the names of their modules in [`crate::scenarios`], and in each those of its functions.

use super::Scenario;
use crate::scenarios::*;

suite! { $
    store_contract {
        objects_are_put_got_listed_and_deleted,
        ranges_and_conditions_of_a_get_are_kept,
        a_put_can_refuse_to_overwrite,
        attributes_are_kept_or_refused,
        directories_are_listed_as_such,
        a_listing_stops_at_a_delimiter,
        a_listing_begins_behind_its_offset,
        objects_are_copied_and_renamed,
        a_copy_can_refuse_to_overwrite,
        an_upload_in_parts_is_read_back_as_a_stream,
        parts_may_arrive_in_any_order,
        what_was_opened_again_is_the_same_storage,
        names_that_begin_with_dots_are_kept_as_they_are,
        of_writers_at_the_same_time_one_wins_whole,
        an_upload_has_no_name_before_it_is_complete,
        an_upload_that_was_given_up_leaves_nothing,
        what_a_killed_upload_leaves_can_be_swept,
        deleting_what_is_absent_changes_nothing,
        what_is_stored_is_dated_by_the_clock_that_the_storage_tells,
    }
    repository {
        the_first_archived_segment_says_whose_it_is,
        the_first_backup_says_whose_it_is,
        a_reading_command_makes_nothing,
        what_a_newer_version_wrote_is_let_alone,
        a_damaged_cluster_json_stops_what_would_write,
        keys_are_read_in_lower_case_and_without_the_z,
        whose_it_is_is_remembered_for_ten_minutes,
        a_repository_that_has_vanished_is_not_started_anew_unasked,
        a_repository_that_another_process_begins_meanwhile_has_not_vanished,
        what_restore_wal_reads_of_another_repository_is_not_remembered,
        an_object_that_is_too_large_is_not_read,
        another_clusters_segment_is_refused_whatever_is_remembered,
    }
    unknown {
        a_kind_of_backup_that_is_not_known_is_refused,
        a_record_that_requires_what_is_not_known_is_refused,
        what_prune_would_remove_is_understood_first,
        a_field_that_nothing_requires_is_ignored,
        a_tar_of_a_name_that_is_not_known_is_refused,
        a_repository_that_requires_what_is_not_known_is_refused,
        a_compression_of_wal_that_is_not_known_is_refused,
        what_else_cluster_json_says_stays_when_it_is_written_anew,
    }
    foreign_records {
        a_record_under_another_backups_name_is_not_counted,
        a_record_of_another_cluster_is_not_counted,
        a_record_that_names_another_backups_objects_is_not_counted,
    }
    archive {
        a_segment_is_stored_under_its_name_and_comes_back,
        a_segment_of_16_mib_comes_back,
        the_identical_file_again_is_fine,
        identical_content_is_known_under_another_compression,
        another_content_is_refused_and_the_stored_one_unchanged,
        force_replaces_the_content_whatever_its_compression,
        force_leaves_no_older_content_in_any_compression,
        the_small_files_of_wal_go_through,
        another_history_of_a_timeline_is_refused_with_the_cause_and_the_way_out,
        another_partial_or_backup_file_is_kept_beside_the_first,
        a_damaged_further_partial_file_is_mended_by_archiving_it_again,
        small_files_that_can_not_be_what_they_are_called_are_refused,
        the_first_segment_of_a_timeline_may_carry_the_old_one,
        what_is_not_the_segment_of_its_name_is_refused,
        a_name_that_is_no_wal_files_is_refused,
        a_missing_file_stores_nothing,
        no_listing_is_needed_to_archive_and_restore,
        what_is_stored_damaged_is_not_taken_for_the_same_and_force_replaces_it,
        the_same_segment_from_many_at_once_is_fine,
        a_failure_at_any_call_is_mended_by_trying_again,
    }
    large_wal {
        a_large_segment_is_stored_in_parts_and_comes_back,
        the_same_large_segment_is_fine_and_another_refused_and_neither_leaves_anything,
        force_replaces_a_large_segment_with_all_its_parts,
        where_force_can_not_remove_the_other_compressions_nothing_is_replaced_or_left,
        a_second_large_partial_file_is_kept_beside_the_first,
        large_segments_are_removed_with_all_their_parts,
        a_failure_at_any_call_for_a_large_segment_is_mended_by_trying_again,
        a_large_segment_is_not_taken_for_the_same_where_reading_it_goes_wrong,
        of_two_uploads_that_create_one_name_the_second_is_refused,
        a_file_that_changes_while_it_is_read_is_not_archived,
    }
    restore_wal {
        every_compression_gives_the_bytes_back,
        nothing_stays_beside_the_file,
        the_path_may_be_a_directory,
        its_size_is_told_before_the_file_is_read,
        what_is_not_there_is_absent_and_nothing_is_written,
        where_no_repository_is_nothing_is_proven_absent,
        a_failing_storage_never_makes_wal_look_absent,
        what_is_there_is_given_back_though_no_absence_can_be_proven,
        a_file_that_unpacks_to_more_than_it_can_have_is_not_written_to_its_end,
        damaged_wal_is_refused_and_nothing_written,
        a_compression_that_cluster_json_forgot_is_found,
        a_file_that_is_there_takes_one_request_and_one_that_is_not_takes_two,
        of_several_compressions_the_first_one_counts_however_late_it_is,
        an_incomplete_segment_is_not_the_last_one_if_a_listing_lacks_what_is_newer,
    }
    prefetch {
        segments_that_are_fetched_ahead_are_those_that_were_archived,
        what_can_not_be_checked_is_left_to_restore_wal,
    }
    ahead {
        what_is_archived_ahead_is_acknowledged_without_a_request,
        histories_come_first_and_no_more_than_wanted,
        a_mark_is_used_once,
        the_asked_file_alone_decides,
        nothing_is_stored_behind_a_file_that_is_refused,
        what_is_stored_already_is_compared_and_marked,
        a_status_file_that_outlived_its_file_is_skipped,
        a_mark_counts_only_for_the_very_same_file,
        another_cluster_on_this_machine_gets_no_use_of_a_mark,
        a_mark_counts_for_its_repository_and_for_ten_minutes,
        an_emptied_directory_is_noticed_at_once,
        a_repository_that_is_started_anew_has_no_marks,
        force_asks_no_mark_and_removes_it,
        a_storage_that_hangs_meanwhile_ends_the_work_ahead,
        a_failure_at_any_call_acknowledges_nothing_false,
    }
    holes {
        a_missing_segment_with_later_wal_is_a_hole,
        small_files_of_later_segments_are_later_wal,
        deleted_wal_that_is_still_listed_makes_no_hole,
        a_hole_is_new_for_a_minute_by_the_storages_clock,
        a_hole_takes_three_requests_and_on_a_later_timeline_that_for_its_history,
        a_server_that_begins_on_a_timeline_needs_no_history_of_it,
        wal_from_before_its_timeline_is_no_hole,
        a_missing_end_of_a_timeline_is_a_hole_on_the_way_to_the_next_one,
        a_segment_in_which_recovery_leaves_its_timeline_is_refused,
        a_missing_history_of_a_timeline_with_wal_is_a_hole,
        an_archive_may_begin_on_any_timeline,
        a_segment_that_is_in_pg_wal_is_no_hole,
        a_failing_storage_never_hides_a_hole,
    }
    backup {
        the_record_tells_what_was_backed_up,
        a_tar_that_outgrows_the_largest_object_is_stored_as_several,
        the_marker_comes_first_and_the_commit_record_last,
        a_backup_is_not_listed_while_it_is_made,
        a_stopped_backup_leaves_nothing,
        a_stop_that_comes_too_late_changes_nothing,
        a_failed_source_leaves_nothing,
        a_backup_of_a_standby_that_is_promoted_meanwhile_is_refused,
        a_tar_cut_behind_pg_control_is_noticed,
        backups_in_the_same_minute_get_keys_of_their_own,
        backups_at_the_same_time_get_keys_of_their_own,
        where_listings_lag_backups_in_the_same_minute_get_keys_of_their_own,
        the_label_is_shown_and_kept,
    }
    preflight {
        another_cluster_is_refused_and_nothing_of_it_stays,
        where_there_is_no_room_it_is_said_before_the_copy,
        another_cluster_and_a_server_that_archives_nothing_are_refused_before_the_copy,
        what_can_not_be_checked_before_the_copy_is_said,
        wal_is_held_while_it_is_copied_and_let_go_afterwards,
    }
    backup_wal {
        while_the_server_waits_for_its_archiver_the_repository_is_its_own,
        without_its_wal_a_backup_is_given_up_naming_the_segment,
        wal_is_not_waited_for_until_the_parts_are_swept,
        a_server_that_waits_for_its_archiver_is_not_waited_for,
        wal_that_is_archived_meanwhile_lets_the_backup_through,
        with_its_wal_inside_a_backup_waits_for_nothing,
    }
    backup_start {
        another_clusters_backup_is_refused_before_anything_of_it_is_stored,
        a_new_repository_is_claimed_as_soon_as_the_backup_has_begun,
        prune_keeps_only_what_a_backup_needs_that_has_begun_and_not_shown_its_label,
        a_source_that_tells_all_at_the_start_gives_the_same_backup,
        a_manifest_that_is_not_in_the_tar_is_stored_beside_it,
    }
    clocks {
        a_backup_has_the_times_of_the_server,
        with_a_slow_clock_no_backup_that_ended_after_the_target_is_taken,
        with_a_clock_a_day_slow_the_newest_backup_is_still_the_newest,
        with_a_clock_two_days_fast_no_live_backup_is_taken_for_dead,
        a_clock_that_differs_is_told_of_with_both_times,
    }
    chains {
        a_chain_is_restored_as_one_cluster,
        a_plan_shows_the_backups_of_a_chain,
        a_chain_that_is_incomplete_is_refused_before_anything_is_written,
        latest_skips_a_backup_whose_chain_is_incomplete,
        a_chain_whose_backups_do_not_fit_leaves_nothing,
        a_damaged_tar_of_a_parent_is_named_and_leaves_nothing,
        an_incremental_backup_with_the_record_of_a_full_one_is_refused,
        a_delta_restore_of_a_chain_leaves_what_a_fresh_one_would,
        an_interrupted_restore_of_a_chain_is_completed,
        single_databases_of_a_chain_are_restored,
        without_the_index_of_a_parent_nothing_is_reused,
        a_file_that_a_parent_lacks_is_named_before_anything_is_changed,
    }
    tablespaces {
        each_tablespace_has_an_archive_of_its_own,
        tablespaces_go_where_they_lay,
        tablespaces_go_where_they_are_mapped_to,
        an_in_place_tablespace_stays_in_the_data_directory,
        no_other_directory_of_the_data_directory_is_a_tablespaces,
        no_tablespace_is_restored_to_its_place_unasked,
        each_place_is_told_before_anything_is_written,
        only_postgresqls_directory_of_a_tablespace_is_written,
        no_directory_is_restored_into_twice,
        a_tablespace_that_can_not_go_there_stops_everything,
        a_tablespace_map_that_names_another_tablespace_stops_everything,
    }
    restore {
        every_file_comes_back_as_it_was,
        every_compression_gives_the_backup_back,
        the_stored_tar_is_what_a_standard_tool_reads,
        latest_is_the_newest,
        a_backup_whose_wal_has_gone_is_refused_and_latest_passes_over_it,
        a_backup_whose_data_has_gone_is_said_to_lack_it_and_latest_passes_over_it,
        an_unknown_key_is_answered_with_the_known_ones,
        an_empty_directory_is_filled_and_one_with_content_is_let_alone,
        an_existing_directory_gets_a_mode_that_its_version_accepts,
        pg_control_comes_last,
        a_dropped_restore_leaves_nothing,
        of_two_restores_into_one_directory_one_is_whole_and_the_other_refused,
        what_others_put_into_the_directory_meanwhile_stays,
        pg_control_does_not_come_where_the_label_has_gone,
        nothing_of_a_claim_stays_in_what_was_restored,
    }
    restore_options {
        without_recovery_the_files_are_those_of_the_backup_and_no_others,
        a_dry_run_says_what_would_be_restored_and_writes_nothing,
        the_wal_goes_into_a_directory_of_its_own,
        a_failed_restore_leaves_nothing_in_the_directory_for_the_wal,
    }
    databases {
        the_other_databases_have_their_files_without_content_and_nothing_of_them_is_fetched,
        what_cannot_be_right_is_refused_before_anything_is_written,
    }
    reuse {
        a_delta_restore_leaves_what_a_fresh_one_would,
        a_delta_restore_fetches_only_what_differs,
        a_dry_run_over_a_cluster_says_how_much_may_be_kept_and_changes_nothing,
        an_empty_directory_is_filled_by_a_delta_restore_as_by_any_other,
        a_directory_that_is_not_the_same_stopped_cluster_is_refused_and_not_changed,
        only_the_clusters_own_directories_of_tablespaces_are_reused,
        an_interrupted_restore_can_not_be_started_and_is_completed_by_the_same_command,
        a_dropped_delta_restore_is_completed_by_the_next,
        a_delta_restore_removes_neither_a_repository_nor_what_is_roots,
        wal_that_is_not_stored_is_given_up_only_if_asked,
        without_an_index_nothing_is_reused_and_nothing_changed,
    }
    manifest {
        the_files_are_compared_with_postgresqls_manifest,
        a_manifest_that_cannot_be_read_is_done_without_and_that_is_said,
        a_manifest_that_the_storage_fails_to_give_fails_the_restore,
    }
    hostile {
        cve_2026_6475_names_and_links_of_an_attacker_lead_nowhere,
    }
    recovery {
        without_a_target_recovery_goes_to_the_end_of_the_wal,
        a_standby_gets_its_signal,
        a_backup_of_a_standby_does_not_come_up_as_one,
        up_to_version_11_an_old_recovery_conf_counts_for_nothing,
        what_an_earlier_restore_left_in_the_settings_is_taken_back,
        a_standby_keeps_the_archive_cleanup_command_that_was_set_for_it,
        each_kind_of_target_is_the_only_one_that_is_set,
        a_time_target_is_the_same_instant_in_the_settings,
        a_target_that_the_stored_wal_does_not_reach_is_told_before_the_copy,
        timeline_and_action_are_set_as_asked,
        up_to_version_11_the_settings_are_in_recovery_conf,
        latest_takes_the_newest_backup_that_reaches_the_target,
        a_target_that_no_backup_reaches_is_refused_before_anything_is_copied,
        why_the_only_backup_can_not_be_read_is_said_in_full,
        a_backup_of_an_abandoned_branch_is_not_taken_for_the_newest,
        a_timeline_that_nobody_archived_is_refused,
    }
    timelines {
        a_stray_timeline_is_a_question_before_anything_is_copied,
        the_branch_that_was_chosen_is_the_one_in_the_settings,
        wal_that_was_stored_later_on_another_branch_is_a_question,
        newer_wal_on_another_branch_matters_only_to_a_target_beyond_that_on_this_one,
        a_branch_that_no_backup_leads_to_is_shown_as_such,
        a_timeline_with_only_a_history_is_a_question_beside_wal_of_the_same_time,
        a_backup_that_was_taken_later_on_another_branch_is_a_question,
        a_backup_on_an_abandoned_branch_is_no_question_if_a_later_one_is_followed,
        the_newest_backup_is_the_one_with_the_latest_lsn_whatever_the_clock_said,
        a_backup_is_restored_by_its_key_if_listings_fail,
        restore_reports_the_followed_timeline_and_the_others,
        every_timeline_is_listed_with_its_newest_backup_and_last_wal,
    }
    histories {
        a_backup_on_a_timeline_without_history_is_the_newest,
        timelines_beyond_a_missing_history_are_not_followed,
        a_history_of_a_compression_that_cluster_json_lacks_is_found,
        a_history_that_is_not_utf8_is_read_as_postgresql_reads_it,
        a_record_or_history_that_is_listed_but_gone_stops_no_command,
    }
    pins {
        a_pin_keeps_a_backup_until_it_is_removed_or_expires,
        of_keep_and_prune_at_the_same_time_one_finds_the_other,
        a_keep_that_fails_anywhere_can_be_repeated,
        a_backup_is_deleted_unless_something_needs_it,
    }
    retention {
        what_any_rule_keeps_stays_with_what_it_is_kept_for,
        the_only_proven_backup_stays,
        backups_from_before_the_window_keep_just_the_wal_that_makes_them_consistent,
        a_backup_that_is_pinned_after_the_plan_was_made_stays,
    }
    pruned_branches {
        prune_counts_the_backups_of_each_branch,
        prune_says_how_to_discard_a_stray_timeline,
        where_no_backup_has_a_readable_label_none_is_removed,
    }
    discard {
        a_discarded_timeline_goes_with_its_history_last,
        an_interrupted_discard_is_finished_by_the_next_one,
        a_timeline_that_something_needs_is_not_discarded,
        the_only_timeline_is_not_discarded,
        where_an_old_backup_tells_nothing_no_timeline_is_discarded,
        a_stray_timeline_whose_own_history_is_damaged_is_discarded,
        the_history_of_a_discarded_timeline_stays_where_a_later_one_is_found_by_it,
    }
    damage {
        a_damaged_object_is_named_and_nothing_is_restored,
        a_damaged_commit_record_is_named_and_nothing_is_restored,
        a_damaged_old_backup_is_restored_whole_or_not_at_all,
        a_tar_that_leads_out_of_the_directory_is_refused,
        a_name_that_comes_twice_is_not_trusted_and_shown_escaped,
        small_files_of_an_impossible_size_are_refused,
        a_backup_without_its_label_is_refused,
        names_that_are_not_utf_8_are_restored,
        an_index_that_cannot_be_is_done_without,
        a_file_that_is_not_what_was_backed_up_is_named_and_nothing_is_restored,
        an_index_that_lists_other_files_is_done_without_and_that_is_said,
        a_failing_storage_never_makes_a_restore_short,
        why_an_index_is_not_used_is_said_in_full,
    }
    verify {
        what_is_not_damaged_passes_and_that_is_stored,
        damage_of_each_kind_of_object_is_found_and_named,
        a_damaged_cluster_json_is_found,
        what_damaged_wal_makes_impossible_is_said,
        damage_of_a_parent_concerns_what_builds_on_it,
        a_manifest_of_other_files_is_found,
        a_backup_of_swiftwal_0_2_2_is_read_and_never_proven,
        a_failing_storage_is_never_damage_nor_a_proof,
    }
    list {
        more_wal_files_than_a_page_holds_are_listed_each_once_and_in_order,
        a_place_with_nothing_in_it_is_no_repository,
        wal_files_are_listed_as_their_names_order_with_size_and_compression,
        a_backup_is_listed_with_its_objects_and_sizes,
        foreign_objects_and_hidden_ones_are_not_listed,
    }
    info {
        a_hole_ends_the_recovery_of_every_backup_before_it,
        wal_between_backups_that_prune_removed_is_no_hole,
        recovery_goes_on_over_a_promotion,
        an_incomplete_segment_and_wal_inside_backups_are_shown,
        pins_and_proofs_are_shown_with_the_backups,
        what_is_damaged_is_named_and_the_rest_is_reported,
        a_backup_that_cannot_be_restored_opens_no_window,
    }
    damaged_pages {
        a_backup_with_damaged_pages_is_stored_marked_and_can_be_restored,
        prune_keeps_an_undamaged_backup_beside_newer_ones_with_damaged_pages,
        damaged_backups_count_where_there_is_no_other,
    }
    prune {
        the_newest_backups_stay_with_the_wal_from_their_start_on,
        a_plan_alone_changes_nothing,
        to_keep_more_backups_than_there_are_removes_none,
        where_there_is_no_backup_no_wal_is_pruned_but_leftovers_are_swept,
        the_newest_segments_stay_as_many_as_asked,
        histories_stay_and_the_rest_follows_its_segment,
        along_the_timelines_everything_stays_that_recovery_can_come_to,
        a_backup_that_leads_to_the_newest_timeline_stays,
        every_compression_of_a_segment_goes,
        a_kept_backup_that_is_not_whole_stops_everything,
        a_kept_backup_without_its_wal_stops_everything,
        the_wal_of_a_kept_backup_may_be_inside_it,
        what_a_listing_does_not_show_yet_is_there_all_the_same,
        a_commit_record_goes_before_what_it_names,
        the_parents_of_a_kept_incremental_stay,
        nothing_is_asked_for_twice_before_something_is_deleted,
    }
    incremental {
        an_incremental_backup_builds_on_the_newest_or_on_the_given_one,
        one_backup_in_as_many_as_requested_is_full,
        a_server_that_takes_no_incremental_backup_is_found_out_before_the_copy,
        a_backup_that_can_not_be_a_parent_is_refused_with_the_reason,
        a_chain_with_a_missing_member_is_no_parent_and_prune_names_it,
        a_backup_on_another_branch_is_no_parent,
        an_undamaged_parent_is_preferred,
        the_parent_of_a_running_backup_is_not_pruned,
        a_parent_is_not_pruned_by_an_older_plan,
        a_backup_whose_parent_was_deleted_is_not_committed,
        a_chain_is_kept_and_removed_as_a_whole,
        an_interrupted_prune_leaves_no_backup_without_its_parent,
    }
    full_storage {
        a_storage_without_room_is_pruned_all_the_same,
        an_old_backup_stays_whole_where_its_mark_can_not_be_stored,
    }
    uploads {
        what_a_died_backup_left_is_swept_after_a_day_and_not_before,
        a_backup_in_progress_is_let_alone_until_it_was_not_heard_of_for_a_day,
        while_a_backup_begins_all_wal_stays,
        a_backup_that_stood_still_until_it_was_swept_is_not_committed,
        what_nobody_claims_is_let_alone_for_a_day_as_its_marker_may_be_on_its_way,
    }
    archive_cleanup {
        segments_before_the_named_one_go_whatever_their_timeline,
        partial_and_backup_names_stand_for_their_segment,
        the_wal_of_a_backup_that_is_not_listed_yet_stays,
        why_more_stays_than_backups_need_is_said,
        wal_that_a_backup_needs_stays_unless_told_otherwise,
    }
    legacy {
        old_backups_are_listed_and_restored,
        an_old_backup_without_its_label_object_has_one_in_its_tar,
        an_old_upload_in_progress_is_no_backup_and_let_alone,
        an_old_backup_stands_though_its_marker_was_left,
        a_deletion_that_the_original_began_is_finished,
        an_old_backup_is_hidden_while_its_deletion_is_unfinished,
        segments_that_lost_their_backup_are_told_and_let_alone,
        old_wal_is_restored_and_known_when_archived_again,
        old_and_new_backups_are_kept_and_pruned_alike,
        an_old_backup_without_label_is_kept_and_no_older_one_goes_for_it,
        an_old_backup_that_tells_nothing_is_no_ground_for_deleting_wal,
        all_wal_stays_while_an_old_upload_goes_on,
        what_an_old_upload_left_is_swept_after_a_day,
        old_and_new_compressions_live_side_by_side,
        why_an_old_backup_can_not_be_restored_is_said_in_full,
    }
    unlisted {
        what_is_asked_for_by_its_name_works_and_the_rest_fails_and_changes_nothing,
        a_restore_by_key_says_why_other_timelines_are_not_known,
        a_backup_whose_wal_is_missing_says_why_the_stored_wal_is_not_known,
    }
    overtaken {
        wal_is_kept_for_a_backup_that_began_after_the_plan,
        a_timeline_is_kept_for_a_backup_that_began_after_the_plan,
        no_backup_begins_on_wal_that_is_being_removed,
        the_mark_of_a_removal_of_wal_goes_when_that_has_ended,
        wal_is_kept_for_a_backup_that_began_when_the_mark_was_gone,
        marks_that_another_prune_writes_again_are_kept,
        a_prune_keeps_the_marks_of_another,
        a_prune_that_was_suspended_deletes_nothing_more,
        a_backup_that_another_prune_deletes_is_not_called_incomplete,
    }
    phantoms {
        what_is_listed_and_gone_harms_no_command,
    }
    slow {
        what_trickles_is_taken_whole_by_every_command,
        a_command_that_is_ended_while_bytes_trickle_leaves_nothing_and_can_be_repeated,
        a_command_that_is_ended_while_a_call_hangs_leaves_nothing_and_can_be_repeated,
    }
    faults {
        an_interrupted_backup_is_whole_or_not_listed_and_leaves_nothing_for_long,
        an_interrupted_prune_harms_no_backup_and_the_next_one_finishes,
        an_interrupted_archive_cleanup_is_finished_by_the_next_one,
    }
}
