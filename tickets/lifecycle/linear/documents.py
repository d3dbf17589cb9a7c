"""The GraphQL documents that are sent to Linear, and no others.

Source: the schema in https://github.com/linear/linear, packages/sdk/src/schema.graphql.
"""

from __future__ import annotations

from typing import Final

# How many names a list of labels or states is read with; teams have tens.
PAGE: Final = 250

_ISSUE: Final = """
fragment IssueFields on Issue {
  id identifier url title description priority updatedAt trashed
  team { id }
  state { id name type position }
  labels(first: 50) { nodes { id name } }
  assignee { id }
  parent { id }
}
"""

VIEWER: Final = "query Viewer { viewer { id name } }"

TEAM: Final = f"""
query Team($id: String!) {{
  team(id: $id) {{ id name states(first: {PAGE}) {{ nodes {{ id name type position }} }} }}
}}
"""

ISSUE: Final = (
    """
query Issue($id: String!) { issue(id: $id) { ...IssueFields } }
"""
    + _ISSUE
)

ISSUES: Final = (
    """
query Issues($teamId: ID!, $since: DateTimeOrDuration!, $after: String) {
  issues(
    filter: { team: { id: { eq: $teamId } }, updatedAt: { gte: $since } }
    orderBy: updatedAt
    first: 50
    after: $after
    includeArchived: true
  ) {
    nodes { ...IssueFields }
    pageInfo { hasNextPage endCursor }
  }
}
"""
    + _ISSUE
)

ISSUE_CREATE: Final = (
    """
mutation IssueCreate($input: IssueCreateInput!) {
  issueCreate(input: $input) { success issue { ...IssueFields } }
}
"""
    + _ISSUE
)

ISSUE_UPDATE: Final = (
    """
mutation IssueUpdate($id: String!, $input: IssueUpdateInput!) {
  issueUpdate(id: $id, input: $input) { success issue { ...IssueFields } }
}
"""
    + _ISSUE
)

# A label of the whole workspace belongs to no team and fits every issue.
LABELS: Final = f"""
query Labels($teamId: ID!, $after: String) {{
  issueLabels(
    filter: {{ or: [{{ team: {{ id: {{ eq: $teamId }} }} }}, {{ team: {{ null: true }} }}] }}
    first: {PAGE}
    after: $after
  ) {{
    nodes {{ id name }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""

LABEL_CREATE: Final = """
mutation LabelCreate($input: IssueLabelCreateInput!) {
  issueLabelCreate(input: $input) { success issueLabel { id name } }
}
"""

COMMENT_CREATE: Final = """
mutation CommentCreate($input: CommentCreateInput!) {
  commentCreate(input: $input) { success comment { id } }
}
"""

RELATION_CREATE: Final = """
mutation RelationCreate($input: IssueRelationCreateInput!) {
  issueRelationCreate(input: $input) { success issueRelation { id } }
}
"""

RELATION_DELETE: Final = """
mutation RelationDelete($id: String!) {
  issueRelationDelete(id: $id) { success }
}
"""
