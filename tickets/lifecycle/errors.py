"""What can go wrong with tickets, besides what can go wrong everywhere.

::

    Invalid                             400  invalid_request
    ├── WorkspaceRequired                    workspace_required
    ├── WorkspaceMismatch                    workspace_mismatch
    ├── InvalidSchema                        invalid_schema
    ├── InvalidLink                          invalid_link
    └── InvalidDelegation                    invalid_delegation
    Unauthorized                        401  unauthorized
    └── LeaseRequired                        lease_required
    NotFound                            404  not_found
    ├── WorkspaceNotFound                    workspace_not_found
    ├── TicketNotFound                       ticket_not_found
    ├── AgentNotFound                        agent_not_found
    ├── TeamNotFound                         team_not_found
    ├── IntegrationNotFound                  integration_not_configured
    ├── LinkNotFound                         link_not_found
    ├── LabelNotFound                        label_not_found
    ├── CollaboratorNotFound                 collaborator_not_found
    ├── CommentNotFound                      comment_not_found
    └── ChannelNotFound                      channel_not_found
    Conflict                            409  conflict
    ├── WorkspaceExists                      workspace_exists
    ├── WorkspaceArchived                    workspace_archived
    ├── AgentInOtherWorkspace                agent_in_other_workspace
    ├── AgentInUse                           agent_in_use
    ├── TeamInUse                            team_in_use
    ├── VersionConflict                      version_conflict
    ├── StatusMismatch                       status_mismatch
    ├── InvalidStatusTransition              invalid_transition
    ├── ExecutionLocked                      execution_locked
    ├── TicketTerminal                       ticket_terminal
    ├── ParentCycle                          parent_cycle
    ├── ParentTooDeep                        parent_too_deep
    ├── DelegationTooDeep                    delegation_too_deep
    ├── LinkCycle                            link_cycle
    ├── DuplicateLink                        duplicate_link
    ├── BlockedByDependency                  blocked_by_dependency
    ├── NotReady                             not_ready
    ├── ManagedByTicket                      managed_by_ticket
    ├── TicketBlocked                        ticket_blocked
    ├── NotAssigned                          not_assigned
    ├── NotAssignee                          not_assignee
    ├── OutputRejected                       output_invalid
    ├── IntegrationNotConfigured             integration_not_configured
    ├── TeamAlreadyBound                     team_already_bound
    ├── NotSynced                            not_synced
    └── NoConflict                           no_conflict
    Unauthorized                        401  unauthorized
    ├── InvalidSignature                     invalid_signature
    └── StaleWebhook                         stale_webhook
    TicketsError                        500  internal_error
    ├── SecretsUnreadable               503  secrets_unreadable
    └── ProviderFailed                  502  provider_error
    OutputInvalid                       422  output_invalid
"""

from __future__ import annotations

from tickets.errors import Conflict, Invalid, NotFound, TicketsError, Unauthorized


class WorkspaceRequired(Invalid):
    """A request about tickets names no workspace."""

    code = "workspace_required"
    message = "Name a workspace: header X-Workspace-Id, or workspace_id in query or body"


class WorkspaceMismatch(Invalid):
    """A request names more than one workspace."""

    code = "workspace_mismatch"
    message = "Header, query and body name different workspaces"


class InvalidSchema(Invalid):
    """The schema of the expected output is none, or looks elsewhere."""

    code = "invalid_schema"
    message = "expected_output_schema is not a JSON Schema 2020-12 that stands alone"


class InvalidLink(Invalid):
    """A ticket cannot be linked with itself."""

    code = "invalid_link"
    message = "A ticket cannot be linked with itself"


class InvalidDelegation(Invalid):
    """An agent cannot delegate to itself, nor in the name of another."""

    code = "invalid_delegation"
    message = "An agent delegates in its own name, and to another agent"


class LeaseRequired(Unauthorized):
    """An agent works on the ticket; another request in its name wants its lease token."""

    code = "lease_required"
    message = "Send the lease token of the ticket's run as X-Lease-Token"


class WorkspaceNotFound(NotFound):
    """No such workspace."""

    code = "workspace_not_found"
    message = "No workspace has this id"


class TicketNotFound(NotFound):
    """No such ticket in this workspace, whatever there is in others."""

    code = "ticket_not_found"
    message = "No ticket of this workspace has this id"


class AgentNotFound(NotFound):
    """No such agent in this workspace."""

    code = "agent_not_found"
    message = "No agent of this workspace has this id"


class TeamNotFound(NotFound):
    """No such team in this workspace."""

    code = "team_not_found"
    message = "No team of this workspace has this id"


class LinkNotFound(NotFound):
    """No such link of this ticket."""

    code = "link_not_found"
    message = "The ticket has no link with this id"


class LabelNotFound(NotFound):
    """No such label on this ticket."""

    code = "label_not_found"
    message = "The ticket does not have this label"


class CollaboratorNotFound(NotFound):
    """No such collaborator of this ticket."""

    code = "collaborator_not_found"
    message = "The ticket has no collaborator with this id"


class CommentNotFound(NotFound):
    """No such comment on this ticket."""

    code = "comment_not_found"
    message = "The ticket has no comment with this id"


class ChannelNotFound(NotFound):
    """Nobody has talked about the ticket yet."""

    code = "channel_not_found"
    message = "The ticket has no channel yet"


class WorkspaceExists(Conflict):
    """A workspace with this id exists."""

    code = "workspace_exists"
    message = "A workspace with this id exists"


class WorkspaceArchived(Conflict):
    """Nothing changes in an archived workspace but its status."""

    code = "workspace_archived"
    message = "The workspace is archived"


class AgentInOtherWorkspace(Conflict):
    """Agents claim by their id alone, so an id belongs to one workspace."""

    code = "agent_in_other_workspace"
    message = "An agent with this id belongs to another workspace"


class AgentInUse(Conflict):
    """A ticket that has not ended is assigned to the agent."""

    code = "agent_in_use"
    message = "The agent is assigned to a ticket that has not ended"


class TeamInUse(Conflict):
    """A ticket that has not ended is assigned to the team."""

    code = "team_in_use"
    message = "The team is assigned to a ticket that has not ended"


class VersionConflict(Conflict):
    """The ticket has another version than ``expected_version``."""

    code = "version_conflict"
    message = "The ticket has another version than expected; read it again"


class StatusMismatch(Conflict):
    """The ticket has another status than ``expected_status``."""

    code = "status_mismatch"
    message = "The ticket has another status than expected; read it again"


class InvalidStatusTransition(Conflict):
    """No way leads from the ticket's status to the one asked for."""

    code = "invalid_transition"
    message = "The ticket cannot go from its status to this one"


class ExecutionLocked(Conflict):
    """Somebody works on the ticket, and this field is part of what they were given."""

    code = "execution_locked"
    message = "This cannot change while the ticket is in progress"


class TicketTerminal(Conflict):
    """The ticket has ended."""

    code = "ticket_terminal"
    message = "The ticket has ended; this cannot change any more"


class ParentCycle(Conflict):
    """A ticket would be its own ancestor."""

    code = "parent_cycle"
    message = "A ticket cannot be below itself"


class ParentTooDeep(Conflict):
    """Too many tickets stand one below the other."""

    code = "parent_too_deep"
    message = "Too many tickets would stand one below the other"


class DelegationTooDeep(Conflict):
    """Too many delegated tickets stand one below the other."""

    code = "delegation_too_deep"
    message = "Too many delegated tickets would stand one below the other"


class LinkCycle(Conflict):
    """The link would close a circle."""

    code = "link_cycle"
    message = "The link would close a circle"


class DuplicateLink(Conflict):
    """The link is there already, or the ticket duplicates another one."""

    code = "duplicate_link"
    message = "The link is there already"


class BlockedByDependency(Conflict):
    """Tickets that block this one have not ended well."""

    code = "blocked_by_dependency"
    message = "Other tickets block this one; see blocked_by"


class NotReady(Conflict):
    """The ticket could not be started; the message says why."""

    code = "not_ready"
    message = "The ticket cannot be started now"


class ManagedByTicket(Conflict):
    """The task was made for a ticket, which decides who works on it, and on what it waits."""

    code = "managed_by_ticket"
    message = "The task belongs to a ticket; change the ticket"


class TicketBlocked(Conflict):
    """A task cannot come to its end while other tickets block its own."""

    code = "ticket_blocked"
    message = "Other tickets block the ticket of this task"


class NotAssigned(Conflict):
    """A ticket that nobody is to work on cannot be started."""

    code = "not_assigned"
    message = "The ticket is assigned to no agent and no team"


class NotAssignee(Conflict):
    """The agent has nothing to do with the ticket."""

    code = "not_assignee"
    message = "The agent is not one who may do this with the ticket"


class OutputRejected(Conflict):
    """The output does not fit the schema; the lease goes on so that the agent can mend it."""

    code = "output_invalid"
    message = "The output does not fit expected_output_schema"


class OutputInvalid(TicketsError):
    """The output that a person gave does not fit the schema."""

    status = 422
    code = "output_invalid"
    message = "The output does not fit expected_output_schema"


class IntegrationNotConfigured(Conflict):
    """The workspace has no connection to this provider."""

    code = "integration_not_configured"
    message = "The workspace has no enabled integration with this provider"


class IntegrationNotFound(NotFound):
    """The workspace has no integration, so there is nothing to show or change."""

    code = "integration_not_configured"
    message = "The workspace has no integration with this provider"


class TeamAlreadyBound(Conflict):
    """A team of the provider's belongs to one workspace."""

    code = "team_already_bound"
    message = "Another workspace is connected to this team"


class NotSynced(Conflict):
    """The ticket was never mirrored."""

    code = "not_synced"
    message = "The ticket has no counterpart at any provider"


class NoConflict(Conflict):
    """There is nothing to resolve."""

    code = "no_conflict"
    message = "The ticket and its counterpart are in no conflict"


class InvalidSignature(Unauthorized):
    """A webhook is not signed with a secret of this integration."""

    code = "invalid_signature"
    message = "The signature does not fit the body"


class StaleWebhook(Unauthorized):
    """A webhook was sent too long ago, or does not say when."""

    code = "stale_webhook"
    message = "The webhook was not sent just now"


class SecretsUnreadable(TicketsError):
    """The secrets of an integration cannot be sealed or opened; the log says why."""

    status = 503
    code = "secrets_unreadable"
    message = (
        "The service cannot use its key file (sealing_key_file), or the secrets of this"
        " integration were sealed with another one"
    )


class ProviderFailed(TicketsError):
    """The provider could not be asked, or refused; the message says what it said."""

    status = 502
    code = "provider_error"
    message = "The provider did not answer as expected"
