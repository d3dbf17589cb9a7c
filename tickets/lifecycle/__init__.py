"""The product ``lifecycle``: tickets of workspaces, worked on by agents through the tracker."""
